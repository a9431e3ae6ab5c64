// Copyright (c) 2026, the cloudnative.artifacts authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"strings"

	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/kustomize/kyaml/openapi"
)

// mergeTable is what kustomize knows of lists that are merged by the keys of their items.
type mergeTable struct {
	// Kinds has "apiVersion kind" and the type of the object.
	Kinds map[string]string `json:"kinds"`
	// Types has each type's fields: the type of the value, or of the items; "[]" alone for a list of texts. Keys of items
	// follow after a space, "-" for a list of texts that is merged. A field "*" is any.
	Types map[string]map[string]string `json:"types"`
}

// schemaTable returns the types of Kubernetes as far as a merge depends on them.
func schemaTable() mergeTable {
	table := mergeTable{Kinds: map[string]string{}, Types: map[string]map[string]string{}}
	definitions := openapi.Schema().Definitions
	needed := map[string]bool{}
	for name, definition := range definitions {
		if hasMergedList(definition) {
			needed[name] = true
		}
	}
	for grows := true; grows; {
		grows = false
		for name, definition := range definitions {
			if needed[name] {
				continue
			}
			for _, field := range definition.Properties {
				if target := targetOf(field); target != "" && needed[target] {
					needed[name], grows = true, true
				}
			}
		}
	}
	for name := range needed {
		fields := map[string]string{}
		for key, field := range definitions[name].Properties {
			target := targetOf(field)
			if !needed[target] {
				target = ""
			}
			keys, isMerged := keysOf(field)
			switch {
			case isMerged && len(keys) == 0:
				fields[key] = target + " -"
			case isMerged:
				fields[key] = target + " " + strings.Join(keys, " ")
			case target != "":
				fields[key] = target
			}
		}
		table.Types[name] = fields
	}
	for name, definition := range definitions {
		kinds, _ := definition.Extensions["x-kubernetes-group-version-kind"].([]interface{})
		for _, each := range kinds {
			kind, _ := each.(map[string]interface{})
			group, _ := kind["group"].(string)
			version, _ := kind["version"].(string)
			word, _ := kind["kind"].(string)
			if group != "" {
				version = group + "/" + version
			}
			if needed[name] {
				table.Kinds[version+" "+word] = name
			}
		}
	}
	return table
}

func hasMergedList(definition spec.Schema) bool {
	for _, field := range definition.Properties {
		if _, isMerged := keysOf(field); isMerged {
			return true
		}
	}
	return false
}

func keysOf(field spec.Schema) (keys []string, isMerged bool) {
	strategy, keys := (&openapi.ResourceSchema{Schema: &field}).PatchStrategyAndKeyList()
	for _, each := range strings.Split(strategy, ",") {
		isMerged = isMerged || each == "merge"
	}
	return keys, isMerged
}

// targetOf returns the definition of a field's value, or of its items. Maps of objects hold no lists.
func targetOf(field spec.Schema) string {
	reference := field.Ref.String()
	if reference == "" && field.Items != nil && field.Items.Schema != nil {
		reference = field.Items.Schema.Ref.String()
	}
	return strings.TrimPrefix(reference, "#/definitions/")
}
