# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    # flat, for oci_artifact_sign
    DOCUMENTATION = r"""
options:
  key:
    description:
      - The private key to sign with, as the path of a PEM file on the host that runs the module, or as PEM text.
        V(env://NAME) is an environment variable of that host. Keys in a KMS or on a token cannot be used.
      - What C(cosign generate-key-pair) and C(cosign import-key-pair) write, and PKCS#8, SEC 1 and PKCS#1 as OpenSSL
        writes them, encrypted or not. ECDSA (P-256, P-384, P-521), RSA (2048 bits and more) and Ed25519.
      - A key that cosign encrypted needs the Python package C(PyNaCl).
    type: str
    required: true
  key_password:
    description:
      - The password that O(key) is encrypted with. The default is the environment variable E(COSIGN_PASSWORD), else
        the empty password, with which cosign encrypts too. It is not safe in the keyword C(environment) of a task,
        which Ansible puts on the command line of a shell.
    type: str
  format:
    description:
      - How the signature is stored.
      - V(legacy) is a layer under the tag C(sha256-….sig). All versions of cosign write and read it; cosign 3 and Flux
        read it only where the artifact has no bundle at all, whoever made it.
      - V(bundle) is a Sigstore bundle among the referrers, the default of cosign 3. Cosign 2 does not see it.
      - V(both) stores one of each, so that cosign 2, cosign 3 and Flux all find one.
    type: str
    choices: [both, bundle, legacy]
    default: both
  annotations:
    description:
      - Names with values to put under the signature, as C(cosign sign -a) does. A signature that lacks one of them, or
        has another value for it, does not count as being there already.
    type: dict
    default: {}
"""

    # as one option, for modules that publish
    OPTION = r"""
options:
  sign:
    description:
      - Sign the artifact with a key, as M(cloudnative.artifacts.oci_artifact_sign) does. It is signed before any tag
        leads to it. An artifact that was published before is signed too, unless the key signed it already.
    type: dict
    suboptions:
      key:
        description:
          - The private key to sign with, as the path of a PEM file on the host that runs the module, or as PEM text.
            V(env://NAME) is an environment variable of that host. Keys in a KMS or on a token cannot be used.
          - What C(cosign generate-key-pair) and C(cosign import-key-pair) write, and PKCS#8, SEC 1 and PKCS#1 as
            OpenSSL writes them, encrypted or not. ECDSA (P-256, P-384, P-521), RSA (2048 bits and more) and Ed25519.
          - A key that cosign encrypted needs the Python package C(PyNaCl).
        type: str
        required: true
      key_password:
        description:
          - The password that the key is encrypted with. The default is the environment variable E(COSIGN_PASSWORD),
            else the empty password, with which cosign encrypts too.
        type: str
      format:
        description:
          - How the signature is stored. V(legacy) is a layer under the tag C(sha256-….sig), V(bundle) a Sigstore
            bundle among the referrers, V(both) one of each, so that cosign 2, cosign 3 and Flux all find one.
        type: str
        choices: [both, bundle, legacy]
        default: both
      annotations:
        description:
          - Names with values to put under the signature, as C(cosign sign -a) does.
        type: dict
        default: {}
"""
