// Copyright (c) 2026, the cloudnative.artifacts authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// kustomize-oracle has kustomize, the library of Flux's helm-controller, change manifests. It reads a JSON list of cases
// and prints a JSON list of what comes of them, in their order.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"sigs.k8s.io/kustomize/api/builtins"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

type testCase struct {
	Manifests   string            `json:"manifests"`
	Patches     []types.Patch     `json:"patches"`
	Images      []types.Image     `json:"images"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

type outcome struct {
	Output string `json:"output"`
	Error  string `json:"error,omitempty"`
}

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "schema":
			write(schemaTable())
		default:
			fmt.Println("usage: kustomize-oracle < cases.json | kustomize-oracle schema")
		}
		return
	}
	var cases []testCase
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	outcomes := make([]outcome, 0, len(cases))
	for _, each := range cases {
		output, err := each.render()
		if err != nil {
			outcomes = append(outcomes, outcome{Error: err.Error()})
			continue
		}
		outcomes = append(outcomes, outcome{Output: string(output)})
	}
	write(outcomes)
}

func write(result any) {
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(result); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// render does what helm-controller does in internal/postrender: a build of kustomize where there are patches or images,
// then the transformers of labels and annotations, for metadata alone.
func (c testCase) render() (output []byte, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("panic: %v", reason)
		}
	}()
	output = []byte(c.Manifests)
	if c.Patches != nil || c.Images != nil {
		if output, err = c.build(); err != nil {
			return nil, err
		}
	}
	if c.Labels == nil && c.Annotations == nil {
		return output, nil
	}
	found, err := resmap.NewFactory(provider.NewDefaultDepProvider().GetResourceFactory()).NewResMapFromBytes(output)
	if err != nil {
		return nil, err
	}
	if c.Labels != nil {
		fields := []types.FieldSpec{{Path: "metadata/labels", CreateIfNotPresent: true}}
		if err := (&builtins.LabelTransformerPlugin{Labels: c.Labels, FieldSpecs: fields}).Transform(found); err != nil {
			return nil, err
		}
	}
	if c.Annotations != nil {
		fields := []types.FieldSpec{{Path: "metadata/annotations", CreateIfNotPresent: true}}
		plugin := &builtins.AnnotationsTransformerPlugin{Annotations: c.Annotations, FieldSpecs: fields}
		if err := plugin.Transform(found); err != nil {
			return nil, err
		}
	}
	return found.AsYaml()
}

func (c testCase) build() ([]byte, error) {
	system := filesys.MakeFsInMemory()
	kustomization := types.Kustomization{
		TypeMeta:  types.TypeMeta{APIVersion: types.KustomizationVersion, Kind: types.KustomizationKind},
		Resources: []string{"helm-output.yaml"},
		Patches:   c.Patches,
		Images:    c.Images,
	}
	text, err := json.Marshal(kustomization)
	if err != nil {
		return nil, err
	}
	if err := system.WriteFile("helm-output.yaml", []byte(c.Manifests)); err != nil {
		return nil, err
	}
	if err := system.WriteFile("kustomization.yaml", text); err != nil {
		return nil, err
	}
	options := &krusty.Options{LoadRestrictions: types.LoadRestrictionsNone, PluginConfig: types.DisabledPluginConfig()}
	found, err := krusty.MakeKustomizer(options).Run(system, ".")
	if err != nil {
		return nil, err
	}
	return found.AsYaml()
}
