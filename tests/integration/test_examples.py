# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every example of the modules, the guides and the README runs as written, on a registry and in folders of the test.

Only names of places are replaced. A new example runs without a word here, and fails when what it needs is not there.
"""

from __future__ import annotations

import ast
import base64
import getpass
import grp
import json
import os
import re
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from support import vectors
from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import Blob, Publisher
from support.attached import attach_bundle, attach_notation, open_repository, unit_helper
from support.certificates import PHRASE, create_client_certificate, create_server_certificate
from support.kube_api import KubeCluster
from support.newcomer import blocks_of
from support.servers import RegistryServer
from support.tools import Tools

from ansible_collections.cloudnative.artifacts.tests.support.forward_proxy import ForwardProxy

pytestmark = pytest.mark.once

CHECKOUT = Path(__file__).resolve().parents[2]
PUSH, PULL, INFO, VERIFY, SIGN, COPY, TAG, PRUNE, DIFF, AUDIT = (
    f"cloudnative.artifacts.oci_artifact_{verb}"
    for verb in ("push", "pull", "info", "verify", "sign", "copy", "tag", "prune", "diff", "audit")
)
LOGIN = "cloudnative.artifacts.oci_registry_login"
KEYS, PASSWORD = vectors.ROOT / "keys", "vector-password"
GITHUB = "https://token.actions.githubusercontent.com"
WORKFLOW = "https://github.com/stefanprodan/podinfo/.github/workflows/release.yml@refs/tags/6.7.1"
GENERATOR = (
    "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml"
    "@refs/tags/v2.1.0"
)
COMMIT = "4d1c7f0f0f4d6a2a9d0e3b1e9b7f6f0a1c2d3e4f"
PROVENANCE = {
    "builder": {"id": GENERATOR},
    "buildType": "https://github.com/slsa-framework/slsa-github-generator/container@v1",
    "invocation": {
        "configSource": {"uri": "git+https://github.com/example/app@refs/tags/v1.4.2", "digest": {"sha1": COMMIT}}
    },
    "materials": [{"digest": {"sha1": COMMIT}}],
}
# they publish what they need themselves; the others find it published
PUBLISHING = {
    "oci_artifact_push",
    "oci_artifact_tag",
    "oci_artifact_prune",
    "guide_publish",
    "guide_promote",
    "guide_air_gap",
}
# examples that run where there are clouds, in test_cloud_login.py, rulebooks, which test_events.py reads and runs, and
# those of a host of its own, in test_reconcile.py
ELSEWHERE = {"guide_login_cloud", "guide_events", "guide_reconcile"}
NOT_RUN: set[str] = set()
PROXY_PASSWORD = "p@ss/word:of%20the#proxy"
# test_helm_examples.py and test_manifests_examples.py have them
HELM = (
    "helm_chart_render",
    "helm_chart_sources",
    "helm_releases",
    "guide_helm_release",
    "oci_manifests",
    "guide_manifests",
    "guide_from_flux",
    "guide_migrate_helm",
)
EXAMPLE_DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

EXPECTED: dict[str, dict[str, Any]] = {
    "oci_artifact_pull: Unpack the newest 1.x release of a configuration bundle": {"artifact.tag": "1.4.2"},
    "oci_artifact_pull: Keep three revisions, look at each before it is placed, and go back when it does not work": {
        "history.0.tag": "1.4.2"
    },
    "oci_artifact_rollback: Go back to the release before it, without the registry, and hold the candidate back": {
        "reason": "RolledBack",
        "artifact.tag": "1.4.2",
    },
    "guide_rollback: Go back": {"reason": "RolledBack", "artifact.tag": "1.4.2"},
    "guide_rollback: Pull again": {"reason": "HeldBack", "artifact.tag": "1.4.2"},
    "guide_rollback: See what this host keeps": {"history.0.held": True},
    "guide_rollback: Go back to the release before": {"reason": "RolledBack", "artifact.tag": "1.4.2"},
    "oci_artifact_pull: Bring it to the hosts of a site by way of the one that reaches the registry": {
        "via.place": "localhost"
    },
    "oci_artifact_pull: Pull many artifacts at once, with one login": {"reason": "NewRevision", "degraded": False},
    "oci_artifact_verify: Check what a site is made of, with one policy for all and another one for the chart": {
        "reason": "Verified"
    },
    "oci_artifact_pull: Pull what the lock file has for the range, and enter there what it stands for when the play is "
    "told to": {"artifact.tag": "1.4.2"},
    "guide_lock: Pull the version that the lock file has for the range": {"artifact.tag": "1.4.2"},
    "guide_lock: See whether the registry has something newer than the lock file": {"reason": "LockCurrent"},
    "guide_pull: Pull what a site is made of": {"reason": "NewRevision"},
    "guide_pull: Pull a digest, which needs no request when it is unchanged": {"artifact.tag": ""},
    "guide_pull: Put the same revision on all hosts, whatever becomes of the tag meanwhile": {"artifact.tag": "stable"},
    "guide_pull: Follow the stable channel, and get over a day without the registry": {"degraded": False},
    "guide_pull: Pull that revision": {"artifact.tag": "stable", "reason": "ArtifactUpToDate"},
    "oci_artifact_info: List the five newest 1.x releases": {"tags": ["1.4.2", "1.2.0"]},
    "oci_artifact_info: See whether a release was published already": {"exists": True},
    "oci_artifact_info: List the five newest versions of a chart, with application version, deprecation and digest": {
        "truncated": False,
        "artifact.tag": "6.7.1",
    },
    "oci_artifact_info: Search a registry for charts": {"truncated": False, "denied": []},
    "oci_artifact_cache: Remove the cache": {"cache.artifacts": 0},
    "guide_charts: Follow a line of versions": {"artifact.tag": "6.7.1"},
    "guide_charts: Search the charts of a registry": {"exists": True, "truncated": False},
    "guide_charts: Package a chart and publish it under its version": {"chart.version": "6.7.1+build.2"},
    "guide_cache: Keep what was used in the last month, and at most 5 GiB of it": {"reason": "CacheUpToDate"},
    "oci_artifact_pull: Use only what the release key signed, and check it before anything is fetched": {
        "verification.verified": True
    },
    "oci_artifact_verify: Demand two signers and an SBOM": {"verification.verified": True, "reason": "Verified"},
    "oci_artifact_verify: Check a Notation signature": {"verification.provider": "notation", "reason": "Verified"},
    "oci_artifact_verify: Accept only what was signed for production": {"reason": "Verified"},
    "guide_verify: Deploy only what the build servers of the company signed": {"reason": "Verified"},
    "guide_verify: Deploy only what was built from a release of the project": {"reason": "Verified"},
    "guide_verify: Show the commit": {"msg": COMMIT},
    "oci_artifact_sign: Sign a release": {"reason": "ArtifactUpToDate"},
    "guide_verify: Deploy only what the project's release workflow signed": {"verification.verified": True},
    "guide_verify: Deploy only what both the build and the release team signed": {"verification.verified": True},
    "guide_selection: Follow the release candidates": {"artifact.tag": "1.5.0-rc.1"},
    "guide_selection: Take only release candidates": {"artifact.tag": "1.5.0-rc.1", "reason": "ArtifactUpToDate"},
    "guide_selection: Pull the last build of the main branch": {"artifact.tag": "main-0c1d2e-10"},
    "guide_selection: List the five newest releases": {"tags": ["1.4.2", "1.2.0"]},
    "guide_pull: Pull only the manifests of one directory": {"changes.ignored": 1},
    "guide_publish: Publish a chart under its version": {"artifact.tag": "6.7.1_build.2"},
    "guide_publish: Publish a channel that may move, and builds that may not": {
        "tags": {"build-20261121": "created", "edge": "created"}
    },
    "oci_artifact_copy: Put a release and its signatures into one file": {"verification.verified": True},
    "oci_artifact_copy: Mirror the newest release under the same name": {"reason": "ArtifactCopied"},
    "oci_artifact_copy: Keep a mirror of what the site uses, and remove there what is not among the newest any more": {
        "reason": "ArtifactCopied",
        "refused": [],
        "pruned": [],
    },
    "guide_air_gap: Mirror what the site uses": {"reason": "ArtifactCopied", "refused": [], "drifted": []},
    "guide_air_gap: Have in the mirror the three newest releases, and no older ones": {
        "changed": False,
        "present": 3,
        "pruned": [],
    },
    "guide_air_gap: Take a release along, if the release key signed it": {"verification.verified": True, "drifted": []},
    "guide_air_gap: Bring the release into the registry of the site": {"changed": True, "present": 0},
    "guide_air_gap: Take along what is new since the last release": {"blobs.left_out": 2},
    "guide_air_gap: Bring it into the registry that has the rest": {"blobs.existed": 2, "changed": True},
    "guide_air_gap: Take the image of the site's platform along": {"changed": True, "warnings": []},
    "guide_air_gap: Mirror a chart with all that an installation of it pulls": {"included": [], "not_included": []},
    "oci_artifact_copy: Take along what changed since the last time": {"blobs.uploaded": 0},
    "guide_policies: Pull under a policy that lies beside the playbook": {"verification.verified": True},
    "guide_policies: Update when it is time, and say when not": {"verification.verified": True},
    "guide_diff: Show what the candidate brings": {
        "changes": {"added": [], "removed": ["notes.txt"], "changed": ["base/app.yaml"], "modes": []}
    },
    "guide_diff: Compare what is in use with the newest release, which has to be signed": {"reason": "Identical"},
    "guide_diff: Compare a directory with what is published": {"changed": True, "counts.changed": 1},
    "guide_diff: Compare two versions of a chart": {"reason": "Identical"},
    "oci_artifact_diff: Show what an update would bring": {"to.tag": "1.4.2"},
    "guide_air_gap: Pull the newest release": {"artifact.tag": "2.3.0", "reason": "NewRevision"},
    "kubernetes_verify_secret: Use only what one of the keys in Flux's secret signed": {"verification.verified": True},
    "kubernetes_verify_secret: Check keyless signatures with the trusted root of a Sigstore of the site": {
        "verification.verified": True
    },
    "guide_login_kubernetes: Demand the signatures of two of the keys": {"verification.verified": True},
    "guide_air_gap: Pull what arrived, if the release key signed it": {"verification.verified": True},
    "guide_errors: Publish a release that may be there already": {"reason": "TagImmutable"},
    "guide_errors: See whether a release was published": {"exists": False},
    "guide_login: Log in": {"store": "file"},
    "guide_login: Log out": {"changed": True, "reason": "LoginRemoved"},
    "oci_registry_login: Let a helper make the credentials": {"store": "docker-credential-ecr-login"},
    "guide_network: Fetch a chart that is published on Docker Hub": {
        "artifact.url": "oci://docker.io/bitnamicharts/nginx",
        "reason": "NewRevision",
    },
    "oci_artifact_tag: Promote what stage names, if it is signed and production is still what we looked at": {
        "reason": "TagsMoved",
        "verification.verified": True,
    },
    "guide_audit: Record that the fleet runs it": {"report.records.*.result": "PASSED"},
    "guide_promote: Promote it": {"tags": {"prod": "created"}, "verification.verified": True},
    "guide_promote: Remove what nobody needs": {"reason": "Pruned"},
    "README: Resolve a range": {"artifact.tag": "1.4.2"},
}


def documents() -> dict[str, list[str]]:
    """The YAML in each document."""
    found = {}
    for path in sorted([*(CHECKOUT / "plugins/modules").glob("*.py"), *(CHECKOUT / "plugins/lookup").glob("*.py")]):
        found[path.stem] = [_constant(path, "EXAMPLES")]
    for path in sorted((CHECKOUT / "docs/docsite/rst").glob("*.rst")):
        if path.stem in ELSEWHERE:
            continue
        # files are tested in test_guide_files.py; requirements are no tasks, test_awx.py installs them
        blocks = [block.text for block in blocks_of(path) if block.language == "yaml" and not block.name]
        found[path.stem] = [text for text in blocks if not text.startswith("collections:")]
    readme = (CHECKOUT / "README.md").read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    # test_install.py installs the requirements
    found["README"] = [
        block for block in blocks if "helm_release" not in block and not block.startswith("collections:")
    ]
    return {name: blocks for name, blocks in found.items() if name not in HELM}


def _constant(path: Path, name: str) -> str:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name:
            value = ast.literal_eval(node.value)
            assert isinstance(value, str)
            return value
    raise AssertionError(f"{path} has no {name}")


class Ground:
    """What the examples find: names of places, files to publish, published artifacts."""

    def __init__(self, registry: RegistryServer, folder: Path, proxy: ForwardProxy) -> None:
        self.registry = registry
        self.proxy = proxy
        self.folder = folder
        self.digest = ""
        self.namespace = ""
        files = {
            "deploy/base/app.yaml": "kind: ConfigMap\n",
            "deploy/notes.txt": "notes\n",
            "build/model.onnx": "model\n",
            "build/README.md": "# Model\n",
            "build/sbom.spdx.json": "{}\n",
            "charts/podinfo/Chart.yaml": "apiVersion: v2\nname: podinfo\nversion: 6.7.1+build.2\n",
            "charts/podinfo/templates/service.yaml": "kind: Service\n",
            "project/site.yml": "- hosts: localhost\n",
            "candidate/base/app.yaml": "kind: ConfigMap\ndata: {}\n",
            "site/index.html": "<img src=logo.png>\n",
            "site/logo.png": "picture\n",
            "site/archive.zip": "archive\n",
            "in-use.txt": f"platform/config@sha256:{EXAMPLE_DIGEST}\n",
        }
        for name, content in files.items():
            path = folder / "play" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        for own in ["shared", *sorted(PUBLISHING)]:
            self._place_keys(folder / own / "etc/keys")
        certificate = create_client_certificate(folder / "certificates")
        policy = "- match: registry.example.com\n  verify: {public_keys: [/etc/keys/release.pub]}\n- match: '*'\n"
        for name in ("play", "shared/etc"):
            self._write(f"{name}/oci-policy.yml", self.placed(policy, "guide_policies"))
        self._write("shared/etc/pki/host.crt", certificate.cert.read_text())
        self._write("shared/etc/pki/site-ca.pem", certificate.ca_cert.read_text())
        self.host_key = certificate.locked_key.read_text()

    def _place_keys(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        names = {"release": "key-a", "release-2026": "key-a", "release-2025": "key-b", "build": "key-b"}
        for name, key in names.items():
            for suffix in (".key", ".pub"):
                shutil.copy(KEYS / (key + suffix), folder / (name + suffix))

    def placed(self, text: str, document: str) -> str:
        """The text with the names of places of this test."""
        host = f"{self.registry.host}/{document if document in PUBLISHING else 'published'}"
        text = re.sub(r"registry\.example\.com|contoso\.azurecr\.io", host, text)
        text = text.replace("https://mirror.example.com", f"http://{self.registry.host}/mirror")
        text = text.replace("proxy.example.com:3128", self.proxy.host)
        text = text.replace("via: relay.example.com", "via: localhost")
        text = text.replace("{{ playbook_dir }}", str(self.folder / "play"))
        text = text.replace("'oci-policy.yml'", f"'{self.folder}/play/oci-policy.yml'")
        own = document if document in PUBLISHING else "shared"
        text = re.sub(r"(?<![\w}/.])/(etc|srv|opt|var|media)/", rf"{self.folder}/{own}/\1/", text)
        text = re.sub(r"namespace='(flux-system|apps)'", f"namespace='{self.namespace}'", text)
        # a lookup sees no defaults of modules, which say that the registry of this test has no TLS
        text = re.sub(r"(lookup\('cloudnative\.artifacts\.oci_artifact',\s+'[^']*')", r"\1, insecure=true", text)
        text = text.replace("owner: app", f"owner: {getpass.getuser()}")
        text = text.replace("group: app", f"group: {grp.getgrgid(os.getgid()).gr_name}")
        return text.replace(EXAMPLE_DIGEST, self.digest.partition(":")[2])

    def publish(self, ansible: AnsibleRunner) -> None:
        """What the examples pull."""
        config = "url: oci://registry.example.com/platform/config"
        wanted = f"""
        - {PUSH}: {{path: "{{{{ playbook_dir }}}}/deploy", tags: [1.2.0, 1.4.2, stable], {config}}}
        - {PUSH}: {{path: "{{{{ playbook_dir }}}}/candidate", tag: 1.5.0-rc.1, {config}}}
        - {PUSH}:
            path: "{{{{ playbook_dir }}}}/charts/podinfo"
            ref: {self.registry.host}/guide_air_gap/charts/podinfo:6.7.1
            type: helm
        - {PUSH}:
            path: "{{{{ playbook_dir }}}}/candidate"
            url: oci://registry.example.com/app/manifests
            tags: [main-9f8e7d-9]
        - {PUSH}:
            path: "{{{{ playbook_dir }}}}/deploy"
            url: oci://registry.example.com/app/manifests
            tags: [main-0c1d2e-10]
        - {PUSH}:
            path: "{{{{ playbook_dir }}}}/charts/podinfo"
            ref: contoso.azurecr.io/marketing/campaign1/chart:1.1
            type: helm
        - {PUSH}:
            path: "{{{{ playbook_dir }}}}/charts/podinfo"
            ref: {self.registry.host}/mirror/dockerhub/bitnamicharts/nginx:18.1.0
            type: helm
        - {PUSH}:
            path: ["{{{{ playbook_dir }}}}/build/model.onnx", "{{{{ playbook_dir }}}}/build/README.md"]
            ref: registry.example.com/models/ranker:7
            type: files
        - {PUSH}: {{path: "{{{{ playbook_dir }}}}/deploy", ref: "oci-layout:/media/transfer/bundle:2.3.0"}}
        - {PUSH}: {{path: "{{{{ playbook_dir }}}}/deploy", ref: "oci-layout:/srv/bundle:2.3.0"}}
        - {SIGN}: {{ref: registry.example.com/platform/config:1.4.2, key: /etc/keys/release.key}}
        - {SIGN}: {{ref: registry.example.com/platform/config:1.4.2, key: /etc/keys/build.key}}
        - {PUSH}:
            path: "{{{{ playbook_dir }}}}/charts/podinfo"
            ref: registry.example.com/charts/podinfo:6.7.1
            type: helm
        """
        carried = f"""
        - {PUSH}:
            path: "{{{{ playbook_dir }}}}/deploy"
            ref: registry.example.com/platform/config:1.4.2
            tags: [stable]
        - {SIGN}: {{ref: registry.example.com/platform/config:1.4.2, key: /etc/keys/release.key}}
        """
        tasks = yaml.safe_load(self.placed(textwrap.dedent(carried), "guide_air_gap"))
        tasks = yaml.safe_load(self.placed(textwrap.dedent(wanted), "published")) + tasks
        results = ansible.tasks(
            tasks,
            module_defaults={name: {"insecure": True} for name in (PUSH, SIGN)},
            vars={"ansible_python_interpreter": ansible.python_with({"COSIGN_PASSWORD": PASSWORD})},
        )
        assert [result.get("msg") for result in results if result.failed] == []
        assert len(results) == len(tasks)
        self.digest = results[0]["artifact"]["digest"]
        # a release with the same content
        config = open_repository(self.registry, "guide_air_gap/platform/config")
        release = json.loads(config.fetch_manifest("1.4.2").raw)
        release["annotations"] = {"org.opencontainers.image.version": "1.5.0"}
        Publisher(self.registry.host, "guide_air_gap/platform/config").put_manifest(
            "1.5.0", json.dumps(release).encode()
        )
        config.close()
        web = Publisher(self.registry.host, "guide_air_gap/apps/web")
        platforms = ("linux/amd64", "linux/arm64")
        web.publish_index("1.0.0", {name: web.publish(name[6:], {"name": name}) for name in platforms})
        sigstore = unit_helper("mini_sigstore")
        self._sign_keyless(sigstore, sigstore.MiniSigstore(), results[-3]["artifact"]["digest"])
        self._sign_with_own_pki(sigstore)
        self._sign_with_notation()

    def attest(self, tools: Tools) -> None:
        """An SBOM of the release, attested with the release key, and a signature of it for production."""
        reference = f"{self.registry.host}/published/platform/config@{self.digest}"
        tools.run(
            "cosign", "sign", "--key", KEYS / "key-a.key", "-a", "env=prod", "--use-signing-config=false",
            "--tlog-upload=false", "--allow-http-registry", "--yes", reference, env={"COSIGN_PASSWORD": PASSWORD},
        )  # fmt: skip
        tools.run(
            "cosign", "attest", "--key", KEYS / "key-a.key", "--type", "spdxjson", "--predicate",
            self.folder / "play/build/sbom.spdx.json", "--use-signing-config=false", "--tlog-upload=false",
            "--allow-http-registry", "--yes", reference, env={"COSIGN_PASSWORD": PASSWORD},
        )  # fmt: skip

    def save(self, tools: Tools) -> None:
        """The release with its signatures, as one carries it across an air gap."""
        target = self.folder / "guide_air_gap/media/transfer/config"
        reference = f"{self.registry.host}/published/platform/config@{self.digest}"
        tools.run("cosign", "save", "--allow-http-registry", "--dir", target, reference)

    def fill(self, cluster: KubeCluster, namespace: str) -> None:
        """What the examples read from Kubernetes; the example's namespaces are all this one."""
        self.namespace = namespace
        entry = {"auth": base64.b64encode(b"not:asked-for").decode()}
        docker_config = json.dumps({"auths": {self.registry.host: entry}})
        certificate = create_server_certificate(self.folder)
        cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "regcred"},
                "type": "kubernetes.io/dockerconfigjson",
                "stringData": {".dockerconfigjson": docker_config},
            },
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "registry-tls"},
                "stringData": {
                    "ca.crt": certificate.ca_cert.read_text(),
                    "tls.crt": certificate.cert.read_text(),
                    "tls.key": certificate.key.read_text(),
                },
            },
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "proxy"},
                "stringData": {
                    "address": f"http://{self.proxy.host}",
                    "username": "deploy",
                    "password": PROXY_PASSWORD,
                },
            },
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "cosign-keys"},
                "stringData": {f"{name}.pub": (KEYS / f"key-{name}.pub").read_text() for name in "ab"},
            },
            {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": "default"},
                "imagePullSecrets": [{"name": "regcred"}],
            },
            namespace=namespace,
        )
        self._write("shared/etc/kubernetes/reader.conf", cluster.kubeconfig.read_text())

    def fill_root(self, cluster: KubeCluster) -> None:
        """The root of the Sigstore of this test, as Flux keeps it."""
        root = (self.folder / "shared/etc/sigstore/trusted_root.json").read_text()
        metadata = {"name": "sigstore-root"}
        cluster.apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"trusted_root.json": root}},
            namespace=self.namespace,
        )

    def _sign_keyless(self, mini: Any, sigstore: Any, digest: str) -> None:
        """Sign the chart as the release workflow of its project would, in a Sigstore of this test; and attest what an
        application was built from, as SLSA's generator does."""
        layer, payload = sigstore.legacy(sigstore.issue(_leaf_of(mini, WORKFLOW)), mini.claim(digest))
        Publisher(self.registry.host, "published/charts/podinfo").publish(
            digest.replace(":", "-") + ".sig", [Blob(payload, layer.media_type, dict(layer.annotations))]
        )
        application = Publisher(self.registry.host, "published/platform/app")
        digest = application.publish("1.4.2", {"app": "app\n"})
        statement = mini.statement(digest, predicateType="https://slsa.dev/provenance/v0.2", predicate=PROVENANCE)
        layer, envelope = sigstore.attestation(sigstore.issue(_leaf_of(mini, GENERATOR)), statement)
        application.publish(
            digest.replace(":", "-") + ".att", [Blob(envelope, layer.media_type, dict(layer.annotations))]
        )
        self._write("shared/etc/sigstore/trusted_root.json", json.dumps(sigstore.trusted_root()))

    def _sign_with_own_pki(self, mini: Any) -> None:
        """Sign the release with a certificate of the company, which has no log."""
        company, late = mini.MiniSigstore(), mini.NOW + 50 * mini.YEAR
        root = company.authority("company", path_length=1, ends=late)
        signing = company.authority("code signing", root, path_length=0, ends=late)
        leaf = mini.Leaf(names=(x509.DNSName("build.example.com"),), issuer=None, issuer_v2=None, scts=(), ends=late)
        bundle = company.bundle(company.issue(leaf, issuer=signing), mini.statement(self.digest))
        del bundle["verificationMaterial"]["tlogEntries"]
        repository = open_repository(self.registry, "published/platform/config")
        artifact = repository.fetch_manifest(self.digest).descriptor
        attach_bundle(repository, artifact, json.dumps(bundle).encode("ascii"))
        repository.close()
        for name, authority in (("company-root", root), ("code-signing-ca", signing)):
            self._write(f"shared/etc/pki/{name}.pem", authority.certificate.public_bytes(Encoding.PEM).decode("ascii"))

    def _sign_with_notation(self) -> None:
        lab = unit_helper("notation_lab")
        repository = open_repository(self.registry, "published/platform/config")
        artifact = repository.fetch_manifest(self.digest).descriptor
        envelope = lab.make_envelope("jws", payload=lab.payload_for(artifact))
        attach_notation(repository, artifact, envelope, lab.MEDIA_TYPES["jws"])
        repository.close()
        for name in ("ca", "signing-authority", "tsa-root"):
            self._write(f"shared/etc/notation/{name}.crt", lab.root().root_pem)
        policy = {"version": "1.0", "trustPolicies": [lab.statement(trustStores=["ca:acme"])]}
        self._write("shared/etc/notation/trustpolicy.json", json.dumps(policy))

    def _write(self, name: str, content: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def _leaf_of(mini: Any, workflow: str) -> Any:
    """What a certificate for a workflow of GitHub has."""
    return mini.Leaf(
        names=(mini.general_name(workflow),), issuer=GITHUB.encode("ascii"), issuer_v2=mini.utf8_string(GITHUB)
    )


def examples(ground: Ground, document: str, blocks: list[str]) -> Iterator[dict[str, Any]]:
    """The tasks of a document, those of plays in a block with what the play sets; each is named after its document."""
    for block in blocks:
        for item in yaml.safe_load(ground.placed(block, document)):
            if "hosts" in item:
                kept = {name: item[name] for name in ("module_defaults", "environment") if name in item}
                yield {**kept, "block": [_named(task, document) for task in item["tasks"]]}
            else:
                yield _named(item, document)


def _named(task: dict[str, Any], document: str) -> dict[str, Any]:
    return {**task, "name": f"{document}: {task['name']}", "ignore_errors": True}


def names_of(tasks: list[dict[str, Any]]) -> list[str]:
    return [name for task in tasks for name in (names_of(task["block"]) if "block" in task else [task["name"]])]


def values_at(result: TaskResult, path: str) -> list[Any]:
    """What is at a path of names and numbers; ``*`` stands for all numbers of a list."""
    values: list[Any] = [result]
    for part in path.split("."):
        if part == "*":
            values = [each for value in values for each in value]
        else:
            values = [value[int(part) if isinstance(value, list) else part] for value in values]
    return values


@pytest.fixture
def namespace(cluster: KubeCluster) -> Iterator[str]:
    with cluster.namespace("examples") as name:
        yield name


def test_examples(
    ansible: AnsibleRunner,
    registry: RegistryServer,
    cluster: KubeCluster,
    namespace: str,
    tools: Tools,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ForwardProxy(("deploy", PROXY_PASSWORD)) as proxy:
        ground = Ground(registry, tmp_path, proxy)
        ground.fill(cluster, namespace)
        check_examples(ansible, ground, cluster, tools, monkeypatch)
    assert {line.rpartition(" ")[2] for line in proxy.lines()} == {"200"}


def check_examples(
    ansible: AnsibleRunner, ground: Ground, cluster: KubeCluster, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground.publish(ansible)
    ground.attest(tools)
    ground.save(tools)
    ground.fill_root(cluster)
    for name in ("SIGNING_PASSWORD", "COSIGN_PASSWORD"):
        monkeypatch.setenv(name, PASSWORD)
    found = [task for name, blocks in documents().items() for task in examples(ground, name, blocks)]
    names = names_of(found)
    assert len(set(names)) == len(names), "two examples of one document have one name"
    assert set(EXPECTED) | NOT_RUN <= set(names), "what is expected of an example that is no more"
    results = ansible.tasks(
        [task for task in found if task.get("name") not in NOT_RUN],
        extra_vars={
            "registry_password": "not-asked-for",
            "oci_lock": "update",
            "proxy_password": PROXY_PASSWORD,
            "host_key": ground.host_key,
            "host_key_password": PHRASE,
        },
        controller_environment={
            "K8S_AUTH_KUBECONFIG": str(cluster.kubeconfig),
            "PATH": f"{Path(tools['helm']).parent}:{os.environ['PATH']}",
        },
        module_defaults={
            **{name: {"insecure": True} for name in (PUSH, PULL, INFO, VERIFY, SIGN, COPY, TAG, PRUNE, DIFF, AUDIT)},
            LOGIN: {"insecure": True, "config_file": str(ground.folder / "docker/config.json")},
        },
    )
    by_name = {result.task: result for result in results}
    failures = [f"{name} did not run" for name in names if name not in by_name and name not in NOT_RUN]
    for name, result in by_name.items():
        if result.failed or result.skipped:
            failures.append(f"{name}: {result.get('msg')}")
            continue
        for path, wanted in EXPECTED.get(name, {}).items():
            if wanted not in (values := values_at(result, path)):
                failures.append(f"{name}: {path} is {values!r}, wanted {wanted!r}")
    assert not failures, "\n".join(failures)
