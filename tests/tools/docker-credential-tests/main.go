// Copyright (c) 2026, the cloudnative.artifacts authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// docker-credential-tests is a credential helper for tests: docker's own implementation of the protocol, over the file
// .docker-credential-tests.json in the home folder, which a test may look into.
package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/docker/docker-credential-helpers/credentials"
)

type login struct {
	Username string
	Secret   string
}

type keychain struct{ path string }

func (k keychain) load() (map[string]login, error) {
	kept := map[string]login{}
	raw, err := os.ReadFile(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		return kept, nil
	}
	if err != nil {
		return nil, err
	}
	return kept, json.Unmarshal(raw, &kept)
}

func (k keychain) save(kept map[string]login) error {
	raw, err := json.Marshal(kept)
	if err != nil {
		return err
	}
	return os.WriteFile(k.path, raw, 0o600)
}

func (k keychain) Add(given *credentials.Credentials) error {
	kept, err := k.load()
	if err != nil {
		return err
	}
	kept[given.ServerURL] = login{given.Username, given.Secret}
	return k.save(kept)
}

func (k keychain) Delete(server string) error {
	kept, err := k.load()
	if err != nil {
		return err
	}
	if _, found := kept[server]; !found {
		return credentials.NewErrCredentialsNotFound()
	}
	delete(kept, server)
	return k.save(kept)
}

func (k keychain) Get(server string) (string, string, error) {
	kept, err := k.load()
	if err != nil {
		return "", "", err
	}
	found, ok := kept[server]
	if !ok {
		return "", "", credentials.NewErrCredentialsNotFound()
	}
	return found.Username, found.Secret, nil
}

func (k keychain) List() (map[string]string, error) {
	kept, err := k.load()
	if err != nil {
		return nil, err
	}
	users := map[string]string{}
	for server, entry := range kept {
		users[server] = entry.Username
	}
	return users, nil
}

func main() {
	credentials.Name = "docker-credential-tests"
	home, err := os.UserHomeDir()
	if err != nil {
		panic(err)
	}
	credentials.Serve(keychain{filepath.Join(home, ".docker-credential-tests.json")})
}
