# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import textwrap


class ModuleDocFragment:
    # flat, for oci_artifact_verify
    DOCUMENTATION = r"""
options:
  signature_provider:
    description:
      - What made the signatures, Cosign (Sigstore) or Notation (Notary Project).
    type: str
    choices: [cosign, notation]
    default: cosign
  public_keys:
    description:
      - Public keys (PEM, as paths on the host that runs the module or as text), tried in this order. Any one that
        made a valid signature suffices, so that keys can be rotated. ECDSA (P-256, P-384, P-521), RSA (2048 bits and
        more) and Ed25519.
      - V(env://NAME) is an environment variable of the host that runs the module. Keys in a KMS, in Vault, on a token
        or in a Secret of Kubernetes are not asked for; the guide on verification says how to give each of them.
      - No transparency log is asked for signatures that are made with a key.
    type: list
    elements: str
  identities:
    description:
      - Who may have signed without a key of their own (keyless). Both expressions of one entry have to match the
        signing certificate; any entry suffices.
    type: list
    elements: dict
    suboptions:
      issuer:
        description:
          - A regular expression for the issuer of the identity, as in
            V(^https://token\\.actions\\.githubusercontent\\.com$).
          - Required, except with O(ca_roots), whose certificates need not name one.
        type: str
      subject:
        description:
          - A regular expression for the subject, as in V(^https://github\\.com/stefanprodan/podinfo/.*$). It may match
            anywhere unless it is anchored with C(^) and C($).
        type: str
        required: true
  any_identity:
    description:
      - Accept every keyless signature that the trusted root vouches for, whoever made it.
    type: bool
    default: false
  trusted_root:
    description:
      - The path of a C(trusted_root.json), or its text, with the certificate authorities, logs and timestamp
        authorities that keyless signatures are checked against. With it the network is used for nothing but the
        registry. It may have several roots, one in each line, of which one has to be satisfied.
      - What a root does not have (a transparency log, a CT log) is not demanded of signatures; the guide on
        verification says what tells the time of signing then.
      - Without it the root of the public Sigstore instance is fetched, which needs the Python package sigstore.
    type: str
  ca_roots:
    description:
      - Certificates (PEM, as paths on the host that runs the module or as text) of the authorities of your own PKI.
        Signatures count that were made with a certificate that leads to a self-signed one of these, and whose name
        O(identities) accept. Others in the list are intermediates.
      - Certificates have to be valid now, unless the logs or timestamp authorities of O(trusted_root) tell when
        the signature was made.
    type: list
    elements: str
  min_signers:
    description:
      - How many entries of the policy must be satisfied, each by a signer of its own. An entry is a public key, or an
        identity (for Notation, an entry of C(trustedIdentities)). It counts once, however often it is listed, and
        however many signatures or branches of a workflow satisfy it; a signer who satisfies several entries stands for
        one of them.
      - O(any_identity) counts as one entry. Where a trust policy of Notation trusts every identity (V(*)), signers with
        different keys and different names count.
      - A policy that has fewer entries than this number is refused before anything is asked.
    type: int
    default: 1
  max_signatures:
    description:
      - How many signatures are tried in one place (a tag of Cosign, the referrers) before the artifact counts as not
        signed, V(1) to V(1000). The default is that of the tools, 1,000 for Cosign and 100 for Notation.
      - Signatures that the registry lists as made with a trusted certificate are tried first, large ones last. The
        guide on verification has the other limits of one verification.
    type: int
  max_attestation_size:
    description:
      - The largest attestation or Sigstore bundle that is read, as bytes or as V(500M) or V(1GiB). The default is that
        of Cosign, V(128MiB). Its decoded content is held in memory, one at a time.
    type: str
  annotations:
    description:
      - Names and values that each signature must have been signed with, as with C(cosign sign -a) or
        C(notation sign --user-metadata). Others may be there. Attestations that O(attestations) asks for need none.
    type: dict
  predicate_types:
    description:
      - Count only signatures whose signed statement has one of these predicate types, or of cosign's short names for
        them (see O(attestations[].type)). A signature of C(cosign sign) has V(https://sigstore.dev/cosign/sign/v1).
      - Without it an attestation among the referrers counts as a signature too, and one under the tag
        C(sha256-….att) where O(attestations) names its type.
    type: list
    elements: str
  curve_hash:
    description:
      - Also accept signatures with P-384 and P-521 keys that were made with SHA-384 and SHA-512 in place of SHA-256.
    type: bool
    default: false
  attestations:
    description:
      - In-toto attestations that must be there, made by signers that satisfy the policy, for the very digest.
    type: list
    elements: dict
    suboptions:
      type:
        description:
          - The predicate type, or one of cosign's short names (V(slsaprovenance), V(slsaprovenance1), V(spdxjson),
            V(cyclonedx), V(vuln), V(openvex), V(link), V(custom)).
        type: str
        required: true
      min_signers:
        description:
          - How many entries of the policy must have made it, counted as for the signatures.
        type: int
        default: 1
      match:
        description:
          - What the signed predicate must have, as a mapping of paths to values. All have to be met.
          - A path leads from the predicate down, with dots, indexes and V([*]) for each element of a list, as in
            V(builder.id) or V(materials[*].uri). V(["a.name"]) stands for a name with other characters.
          - A value is text, a number, a boolean or null, and has to be there just so, of the same type. With V([*])
            one element that has it is enough.
          - A mapping with the one key C(pattern) in place of a value has a regular expression for text, in Go's
            spelling. It may match anywhere unless it is anchored with C(^) and C($).
        type: dict
      predicate:
        description:
          - Return the predicate of each attestation that counts for this entry in
            RV(verification.signers[].predicate). One verification returns at most 1 MiB of predicates, and warns about
            what it leaves out.
        type: bool
        default: false
  trust_policy:
    description:
      - For Notation, the trust policy, as the path of a C(trustpolicy.json) or as a mapping.
    type: raw
  trust_store:
    description:
      - For Notation, the trusted certificates (PEM, as paths or text), as a list, or as a mapping of the names of
        trust stores (V(ca:acme), V(signingAuthority:acme), V(tsa:acme), or V(acme) for all types) to lists. A list
        answers for every store that the policy names.
      - Revocation is never asked for online, and plugins are not run; the guide on verification says what that means.
    type: raw
"""


# as one option, for modules that verify before they use
_OPTION = """
options:
  verify:
    description:
      - Check the signatures of the artifact before one byte of it is used. The digest that was verified is the one
        that is used. When it fails, what is in place stays as it was.
      - Without this option nothing is verified but digests.
    type: dict
    suboptions:
"""
# as one of the requirements of oci_artifact_tag
_REQUIRE = """
options:
  require:
    description:
      - What the artifact has to satisfy before a tag is moved to it. A task whose tags are all where they are to be
        asks for none of it.
    type: dict
    suboptions:
      min_age:
        description:
          - How long the artifact has to be known, as a number of seconds or with units, as in V(24h), V(7d) or V(2w).
            Otherwise the task fails with the reason V(TooYoung).
          - Together with O(require.soaked_in) it is the time for which that tag has to name the artifact, where a
            record says since when it does, see O(record).
        type: str
      age_from:
        description:
          - What may tell the age; the first of them that knows it counts. Where none does, the task fails with the
            reason V(AgeUnknown).
          - V(signature) is the time of a signature that a transparency log or a timestamp authority vouches for, of
            those that satisfy O(require.verify).
          - V(first_seen) is the first time that the same user on the same host met the digest in this repository, with
            this module, with O(policy) or with M(cloudnative.artifacts.oci_artifact_prune). It is recorded in
            E(OCI_ARTIFACT_STATE_DIR), see O(policy).
          - V(created) is what the publisher says in the annotation C(org.opencontainers.image.created) or in the config
            of an image. Times before 1990, which reproducible builds write, say nothing, nor do those in the future.
            Publishers can write any time.
        type: list
        elements: str
        choices: [signature, first_seen, created]
        default: [signature, first_seen]
      soaked_in:
        description:
          - A tag of the same repository that has to name the artifact, as in V(stage). Otherwise the task fails with
            the reason V(NotSoaked).
        type: str
      never_downgrade:
        description:
          - Refuse, with the reason V(DowngradeDenied), to move a tag to an older version than the one that it holds.
          - The version of an artifact is the tag that it was asked by, its annotation
            C(org.opencontainers.image.version), that part of C(org.opencontainers.image.revision) that is before its
            C(@), or the newest of the repository's tags that is a version and names it. Where neither artifact has one,
            the times of creation are compared. What cannot be compared is not moved.
        type: bool
        default: false
      verify:
        description:
          - Check the signatures of the artifact, as M(cloudnative.artifacts.oci_artifact_verify) does.
        type: dict
        suboptions:
"""


def _nested(prefix: str, indent: int) -> str:
    """Return the options as suboptions of ``prefix``."""
    text = (
        ModuleDocFragment.DOCUMENTATION.partition("options:\n")[2]
        .replace("signature_provider:", "provider:", 1)
        .replace("RV(verification.signers[].predicate)", "C(verification.signers[].predicate)")
    )
    for name in ("any_identity)", "attestations", "ca_roots)", "identities)", "trusted_root)"):
        text = text.replace(f"O({name}", f"O({prefix}.{name}")
    return textwrap.indent(text, " " * indent)


ModuleDocFragment.OPTION = _OPTION + _nested("verify", 4)  # type: ignore[attr-defined]
ModuleDocFragment.REQUIRE = _REQUIRE + _nested("require.verify", 8)  # type: ignore[attr-defined]
