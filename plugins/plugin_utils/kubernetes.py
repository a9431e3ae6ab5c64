# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lookups of Kubernetes have in common: the options of the documentation fragment ``kubernetes``."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Callable

from ansible.plugins.lookup import LookupBase

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.api import (
    KubeApi,
    KubeOptions,
    check_kubeconfig,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import parse_duration
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.core_errors import plugin_errors


class SecretLookup(LookupBase):
    """A lookup that reads one secret, or what leads to some, and takes options only."""

    @abstractmethod
    def read(self, api: KubeApi, namespace: str, secret: str) -> Any:
        """Return what the lookup finds; ``secret`` is empty where it may be left out.

        :raises OciError: as an error of the lookup.
        """

    def check(self) -> None:
        """Check further options before the cluster is looked for.

        :raises OciError: as an error of the lookup.
        """

    def run(self, terms: Any, variables: Any = None, **kwargs: Any) -> list[Any]:
        self.set_options(var_options=variables, direct=kwargs)
        with plugin_errors():
            refuse_terms(terms, f"lookup('{self.ansible_name}', namespace='…', secret='…')")
            self.check()
            api = kube_api(self.get_option)
            return [self.read(api, self.get_option("namespace"), self.get_option("secret") or "")]


def kube_api(option: Callable[[str], Any]) -> KubeApi:
    """The API that a plugin's options (``option`` is its ``get_option``) lead to."""
    return KubeApi(
        KubeOptions(
            kubeconfig=check_kubeconfig(option("kubeconfig") or ""),
            context=option("context") or "",
            host=option("host") or "",
            api_key=option("api_key") or "",
            client_cert=option("client_cert") or "",
            client_key=option("client_key") or "",
            ca_cert=option("ca_cert") or "",
            validate_certs=option("validate_certs"),
            proxy=option("proxy") or "",
            timeout=parse_duration(option("timeout")),
        )
    )


def refuse_terms(terms: Any, example: str) -> None:
    """Refuse positional arguments: the lookups take options only."""
    if terms:
        raise InvalidOption("This lookup takes no terms, only options.", f"Write {example}.")
