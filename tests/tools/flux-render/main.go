// Copyright (c) 2026, the cloudnative.artifacts authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// flux-render renders a HelmRelease with the code of Flux's helm-controller and prints the manifests and hooks of the
// release as JSON. ConfigMaps and Secrets that the HelmRelease takes values from are in the third file.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/fluxcd/pkg/chartutil"
	"github.com/go-logr/logr"
	helmaction "helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/kube/fake"
	"helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	clientfake "sigs.k8s.io/controller-runtime/pkg/client/fake"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/helm-controller/internal/action"
)

type hook struct {
	Path     string `json:"path"`
	Manifest string `json:"manifest"`
}

type rendered struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Manifest  string `json:"manifest"`
	Notes     string `json:"notes"`
	Hooks     []hook `json:"hooks"`
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: flux-render helmrelease.yaml chart.tgz [objects.yaml]")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(releasePath, chartPath string, objectPaths []string) error {
	ctx := context.Background()
	release := &v2.HelmRelease{}
	if err := readRelease(releasePath, release); err != nil {
		return err
	}
	chart, err := loader.Load(chartPath)
	if err != nil {
		return err
	}
	cluster, err := clusterOf(objectPaths)
	if err != nil {
		return err
	}
	values, err := chartutil.ChartValuesFromReferences(
		ctx, logr.Discard(), cluster, release.Namespace, release.GetValues(), release.Spec.ValuesFrom...)
	if err != nil {
		return err
	}
	// there is no cluster that could be given any
	if release.Spec.Install == nil {
		release.Spec.Install = &v2.Install{}
	}
	release.Spec.Install.CRDs = v2.Skip
	config := &helmaction.Configuration{
		KubeClient:   &fake.PrintingKubeClient{Out: io.Discard},
		Releases:     storage.Init(driver.NewMemory()),
		Capabilities: common.DefaultCapabilities,
	}
	dry := func(install *helmaction.Install) { install.DryRunStrategy = helmaction.DryRunClient }
	made, err := action.Install(ctx, config, release, chart, values, dry)
	if err != nil {
		return err
	}
	result := rendered{Name: made.Name, Namespace: made.Namespace, Manifest: made.Manifest, Notes: made.Info.Notes}
	for _, each := range made.Hooks {
		result.Hooks = append(result.Hooks, hook{each.Path, each.Manifest})
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(result)
}

func readRelease(path string, into *v2.HelmRelease) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	asJSON, err := yaml.ToJSON(text)
	if err != nil {
		return err
	}
	// a field that Flux does not know is a mistake of the test
	decoder := json.NewDecoder(bytes.NewReader(asJSON))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

func clusterOf(paths []string) (client.Client, error) {
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	builder := clientfake.NewClientBuilder().WithScheme(scheme)
	for _, path := range paths {
		stream, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer stream.Close()
		decoder := yaml.NewYAMLOrJSONDecoder(stream, 4096)
		for {
			object := &unstructured.Unstructured{}
			if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, err
			}
			if len(object.Object) > 0 {
				builder = builder.WithObjects(object)
			}
		}
	}
	return builder.Build(), nil
}
