# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lists of Kubernetes' own objects whose items are merged by a key, as kustomize knows them.

Source: the OpenAPI document in sigs.k8s.io/kustomize/kyaml (``x-kubernetes-patch-strategy``,
``x-kubernetes-list-map-keys`` and ``x-kubernetes-patch-merge-key``).
"""

from __future__ import annotations

# Type -> field -> the type of its value or of its items, then for a list that is merged the keys of its items; "-" in
# place of keys is for a list of texts.
TYPES: dict[str, dict[str, str]] = {
    "APIService": {"metadata": "ObjectMeta", "status": "APIServiceStatus"},
    "APIServiceStatus": {"conditions": " type"},
    "CSINode": {"metadata": "ObjectMeta", "spec": "CSINodeSpec"},
    "CSINodeSpec": {"drivers": " name"},
    "ComponentStatus": {"conditions": " type", "metadata": "ObjectMeta"},
    "Container": {
        "env": " name",
        "ports": " containerPort protocol",
        "volumeDevices": " devicePath",
        "volumeMounts": " mountPath",
    },
    "CronJob": {"metadata": "ObjectMeta", "spec": "CronJobSpec"},
    "CronJobSpec": {"jobTemplate": "JobTemplateSpec"},
    "DaemonSet": {"metadata": "ObjectMeta", "spec": "DaemonSetSpec", "status": "DaemonSetStatus"},
    "DaemonSetSpec": {"template": "PodTemplateSpec"},
    "DaemonSetStatus": {"conditions": " type"},
    "Deployment": {"metadata": "ObjectMeta", "spec": "DeploymentSpec", "status": "DeploymentStatus"},
    "DeploymentSpec": {"template": "PodTemplateSpec"},
    "DeploymentStatus": {"conditions": " type"},
    "EphemeralContainer": {"env": " name", "volumeDevices": " devicePath", "volumeMounts": " mountPath"},
    "EphemeralVolumeSource": {"volumeClaimTemplate": "Object"},
    "Job": {"metadata": "ObjectMeta", "spec": "JobSpec", "status": "JobStatus"},
    "JobSpec": {"template": "PodTemplateSpec"},
    "JobStatus": {"conditions": " type"},
    "JobTemplateSpec": {"metadata": "ObjectMeta", "spec": "JobSpec"},
    "Kustomization": {"configMapGenerator": " name", "secretGenerator": " name"},
    "MutatingWebhookConfiguration": {"metadata": "ObjectMeta", "webhooks": " name"},
    "Namespace": {"metadata": "ObjectMeta", "status": "NamespaceStatus"},
    "NamespaceStatus": {"conditions": " type"},
    "Node": {"metadata": "ObjectMeta", "spec": "NodeSpec", "status": "NodeStatus"},
    "NodeSpec": {"podCIDRs": " -"},
    "NodeStatus": {"addresses": " type", "conditions": " type"},
    "Object": {"metadata": "ObjectMeta"},
    "ObjectMeta": {"finalizers": " -", "ownerReferences": " uid"},
    "PersistentVolumeClaim": {"metadata": "ObjectMeta", "status": "PersistentVolumeClaimStatus"},
    "PersistentVolumeClaimStatus": {"conditions": " type"},
    "Pod": {"metadata": "ObjectMeta", "spec": "PodSpec", "status": "PodStatus"},
    "PodDisruptionBudget": {"metadata": "ObjectMeta", "status": "PodDisruptionBudgetStatus"},
    "PodDisruptionBudgetStatus": {"conditions": " type"},
    "PodSpec": {
        "containers": "Container name",
        "ephemeralContainers": "EphemeralContainer name",
        "hostAliases": " ip",
        "imagePullSecrets": " name",
        "initContainers": "Container name",
        "topologySpreadConstraints": " topologyKey whenUnsatisfiable",
        "volumes": "Volume name",
    },
    "PodStatus": {"conditions": " type", "podIPs": " ip"},
    "PodTemplate": {"metadata": "ObjectMeta", "template": "PodTemplateSpec"},
    "PodTemplateSpec": {"metadata": "ObjectMeta", "spec": "PodSpec"},
    "ReplicaSet": {"metadata": "ObjectMeta", "spec": "ReplicaSetSpec", "status": "ReplicaSetStatus"},
    "ReplicaSetSpec": {"template": "PodTemplateSpec"},
    "ReplicaSetStatus": {"conditions": " type"},
    "ReplicationController": {
        "metadata": "ObjectMeta",
        "spec": "ReplicationControllerSpec",
        "status": "ReplicationControllerStatus",
    },
    "ReplicationControllerSpec": {"template": "PodTemplateSpec"},
    "ReplicationControllerStatus": {"conditions": " type"},
    "Service": {"metadata": "ObjectMeta", "spec": "ServiceSpec", "status": "ServiceStatus"},
    "ServiceAccount": {"metadata": "ObjectMeta", "secrets": " name"},
    "ServiceSpec": {"ports": " port protocol"},
    "ServiceStatus": {"conditions": " type"},
    "StatefulSet": {"metadata": "ObjectMeta", "spec": "StatefulSetSpec", "status": "StatefulSetStatus"},
    "StatefulSetSpec": {"template": "PodTemplateSpec", "volumeClaimTemplates": "PersistentVolumeClaim"},
    "StatefulSetStatus": {"conditions": " type"},
    "ValidatingWebhookConfiguration": {"metadata": "ObjectMeta", "webhooks": " name"},
    "Volume": {"ephemeral": "EphemeralVolumeSource"},
}  # fmt: skip

# Version -> the kinds of which the types are known. A kind without a type of its own has the fields of "Object".
KINDS: dict[str, frozenset[str]] = {
    version: frozenset(kinds.split())
    for version, kinds in {
        "admissionregistration.k8s.io/v1": "MutatingWebhookConfiguration ValidatingWebhookConfiguration",
        "admissionregistration.k8s.io/v1beta1": "MutatingWebhookConfiguration ValidatingWebhookConfiguration",
        "apiextensions.k8s.io/v1": "CustomResourceDefinition",
        "apiextensions.k8s.io/v1beta1": "CustomResourceDefinition",
        "apiregistration.k8s.io/v1": "APIService",
        "apiregistration.k8s.io/v1beta1": "APIService",
        "apps/v1": "ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet",
        "authentication.k8s.io/v1": "TokenRequest TokenReview",
        "authentication.k8s.io/v1beta1": "TokenReview",
        "authorization.k8s.io/v1": (
            "LocalSubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview SubjectAccessReview"
        ),
        "authorization.k8s.io/v1beta1": (
            "LocalSubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview SubjectAccessReview"
        ),
        "autoscaling/v1": "HorizontalPodAutoscaler Scale",
        "autoscaling/v2beta1": "HorizontalPodAutoscaler",
        "autoscaling/v2beta2": "HorizontalPodAutoscaler",
        "batch/v1": "CronJob Job",
        "batch/v1beta1": "CronJob",
        "certificates.k8s.io/v1": "CertificateSigningRequest",
        "certificates.k8s.io/v1beta1": "CertificateSigningRequest",
        "coordination.k8s.io/v1": "Lease",
        "coordination.k8s.io/v1beta1": "Lease",
        "discovery.k8s.io/v1": "EndpointSlice",
        "discovery.k8s.io/v1beta1": "EndpointSlice",
        "events.k8s.io/v1": "Event",
        "events.k8s.io/v1beta1": "Event",
        "extensions/v1beta1": "Ingress",
        "flowcontrol.apiserver.k8s.io/v1beta1": "FlowSchema PriorityLevelConfiguration",
        "kustomize.config.k8s.io/v1beta1": "Kustomization",
        "networking.k8s.io/v1": "Ingress IngressClass NetworkPolicy",
        "networking.k8s.io/v1beta1": "Ingress IngressClass",
        "node.k8s.io/v1": "RuntimeClass",
        "node.k8s.io/v1beta1": "RuntimeClass",
        "policy/v1": "PodDisruptionBudget",
        "policy/v1beta1": "Eviction PodDisruptionBudget PodSecurityPolicy",
        "rbac.authorization.k8s.io/v1": "ClusterRole ClusterRoleBinding Role RoleBinding",
        "rbac.authorization.k8s.io/v1beta1": "ClusterRole ClusterRoleBinding Role RoleBinding",
        "scheduling.k8s.io/v1": "PriorityClass",
        "scheduling.k8s.io/v1beta1": "PriorityClass",
        "storage.k8s.io/v1": "CSIDriver CSINode StorageClass VolumeAttachment",
        "storage.k8s.io/v1beta1": "CSIDriver CSINode CSIStorageCapacity StorageClass VolumeAttachment",
        "v1": (
            "Binding ComponentStatus ConfigMap Endpoints Event LimitRange Namespace Node PersistentVolume "
            "PersistentVolumeClaim Pod PodTemplate ReplicationController ResourceQuota Secret Service "
            "ServiceAccount"
        ),
    }.items()
}

# Kinds without a namespace.
CLUSTER_KINDS = frozenset(
    "APIService CSIDriver CSINode CertificateSigningRequest ClusterRole ClusterRoleBinding ComponentStatus "
    "CustomResourceDefinition FlowSchema IngressClass MutatingWebhookConfiguration Namespace Node PersistentVolume "
    "PodSecurityPolicy PriorityClass PriorityLevelConfiguration RuntimeClass StorageClass "
    "ValidatingWebhookConfiguration VolumeAttachment".split()
)


def type_of(version: str, kind: str) -> str:
    """Return the type of an object; empty when kustomize does not know its kind, whose lists are all replaced."""
    if kind not in KINDS.get(version, ()):
        return ""
    return kind if kind in TYPES else "Object"


def field_of(type_name: str, field: str) -> tuple[str, tuple[str, ...] | None]:
    """Return the type of a field, and the keys of its items: None for a list that is replaced, ``("",)`` for texts."""
    name, _space, keys = TYPES.get(type_name, {}).get(field, "").partition(" ")
    if not keys:
        return name, None
    return name, ("",) if keys == "-" else tuple(keys.split())
