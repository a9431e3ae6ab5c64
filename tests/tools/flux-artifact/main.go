// Copyright (c) 2026, the cloudnative.artifacts authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// flux-artifact pushes and pulls artifacts with the code of the flux command line, over plain HTTP, and prints the digest.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/fluxcd/pkg/oci"
	"github.com/google/go-containerregistry/pkg/crane"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	source := flag.String("source", "", "annotation of what is pushed")
	revision := flag.String("revision", "", "annotation of what is pushed")
	created := flag.String("created", "1970-01-01T00:00:00Z", "annotation of what is pushed")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: flux-artifact [flags] push|pull host/repository:tag path")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 3 {
		flag.Usage()
		os.Exit(2)
	}
	verb, reference, path := flag.Arg(0), flag.Arg(1), flag.Arg(2)
	client := oci.NewClient([]crane.Option{crane.Insecure, crane.WithUserAgent("flux/v2")})
	switch verb {
	case "push":
		metadata := oci.Metadata{Source: *source, Revision: *revision, Created: *created}
		digest, err := client.Push(context.Background(), reference, path, oci.WithPushMetadata(metadata))
		if err != nil {
			return err
		}
		fmt.Println(digest)
	case "pull":
		metadata, err := client.Pull(context.Background(), reference, path)
		if err != nil {
			return err
		}
		fmt.Println(metadata.Digest)
	default:
		return fmt.Errorf("unknown verb %q", verb)
	}
	return nil
}
