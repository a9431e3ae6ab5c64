// Copyright (c) 2026, the cloudnative.artifacts authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sort"
	"strconv"
	"strings"
)

const (
	pathMarker = "/referrers/"
	// an artifact with this config has its kind in artifactType, says the image specification
	emptyConfig = "application/vnd.oci.empty.v1+json"
)

type manifest struct {
	ArtifactType string `json:"artifactType"`
	Config       struct {
		MediaType string `json:"mediaType"`
	} `json:"config"`
	Subject *struct {
		Digest string `json:"digest"`
	} `json:"subject"`
}

// completeReferrers adds what go-containerregistry leaves out of the distribution specification: the artifactType of
// the manifest itself, the filter by it, a stable order, and the OCI-Subject header, without which clients take the
// referrers API to be missing and write the fallback tag as well.
func completeReferrers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodGet && strings.Contains(r.URL.Path, pathMarker):
			serveReferrers(w, r, next)
		case r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/"):
			body, err := io.ReadAll(r.Body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			var pushed manifest
			if json.Unmarshal(body, &pushed) == nil && pushed.Subject != nil {
				w.Header().Set("OCI-Subject", pushed.Subject.Digest)
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			next.ServeHTTP(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func serveReferrers(w http.ResponseWriter, r *http.Request, next http.Handler) {
	answer := httptest.NewRecorder()
	next.ServeHTTP(answer, r)
	var index map[string]any
	if answer.Code != http.StatusOK || json.Unmarshal(answer.Body.Bytes(), &index) != nil {
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
		return
	}

	repository := r.URL.Path[:strings.LastIndex(r.URL.Path, pathMarker)]
	wanted := r.URL.Query().Get("artifactType")
	kept := []map[string]any{}
	for _, item := range index["manifests"].([]any) {
		entry := item.(map[string]any)
		entry["artifactType"] = artifactType(repository+"/manifests/"+entry["digest"].(string), next)
		if wanted == "" || entry["artifactType"] == wanted {
			kept = append(kept, entry)
		}
	}
	sort.Slice(kept, func(a, b int) bool { return kept[a]["digest"].(string) < kept[b]["digest"].(string) })
	index["manifests"] = kept

	body, _ := json.Marshal(index)
	w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if wanted != "" {
		w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	_, _ = w.Write(body)
}

func artifactType(path string, next http.Handler) string {
	answer := httptest.NewRecorder()
	next.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
	var found manifest
	_ = json.Unmarshal(answer.Body.Bytes(), &found)
	if found.ArtifactType != "" || found.Config.MediaType == emptyConfig {
		return found.ArtifactType
	}
	return found.Config.MediaType
}
