"""Protobuf messages of Kubernetes' API, as far as `kubectl` sends them: field numbers, names and types.

Lives here: the table alone; `protobuf` reads it. A field is ``number name type``. Types: ``string``, ``int``, ``bool``,
``bytes`` (base64 in JSON), ``time``, ``quantity``, ``int-or-string``, or another message of the table. ``[]`` before a
type makes a list, ``map:`` a map from text. A ``?`` behind ``int`` or ``bool`` keeps a zero that was sent: Go sends it
for a pointer that was set, while a plain zero means nothing. The name ``-`` lays a message's fields into its parent.
"""

from __future__ import annotations

from typing import Final


def _kind(name: str) -> str:
    return f"1 metadata ObjectMeta, 2 spec {name}Spec, 3 status Opaque"


MESSAGES: Final[dict[str, str]] = {
    # What is not taken from a client in any format: a status beside its object, and who owns which field.
    "Opaque": "",
    "ObjectMeta": (
        "1 name string, 2 generateName string, 3 namespace string, 4 selfLink string, 5 uid string, "
        "6 resourceVersion string, 7 generation int, 8 creationTimestamp time, 9 deletionTimestamp time, "
        "10 deletionGracePeriodSeconds int?, 11 labels map:string, 12 annotations map:string, "
        "13 ownerReferences []OwnerReference, 14 finalizers []string, 17 managedFields []Opaque"
    ),
    "OwnerReference": (
        "1 kind string, 3 name string, 4 uid string, 5 apiVersion string, 6 controller bool?, "
        "7 blockOwnerDeletion bool?"
    ),
    "LabelSelector": "1 matchLabels map:string, 2 matchExpressions []LabelSelectorRequirement",
    "LabelSelectorRequirement": "1 key string, 2 operator string, 3 values []string",
    "DeleteOptions": (
        "1 gracePeriodSeconds int?, 2 preconditions Preconditions, 3 orphanDependents bool?, "
        "4 propagationPolicy string, 5 dryRun []string"
    ),
    "Preconditions": "1 uid string, 2 resourceVersion string",
    "NamedReference": "1 name string",
    "Namespace": _kind("Namespace"),
    "NamespaceSpec": "1 finalizers []string",
    "ConfigMap": "1 metadata ObjectMeta, 2 data map:string, 3 binaryData map:bytes, 4 immutable bool?",
    "Secret": "1 metadata ObjectMeta, 2 data map:bytes, 3 type string, 4 stringData map:string, 5 immutable bool?",
    "ServiceAccount": (
        "1 metadata ObjectMeta, 3 imagePullSecrets []NamedReference, 4 automountServiceAccountToken bool?"
    ),
    "ResourceQuota": _kind("ResourceQuota"),
    "ResourceQuotaSpec": "1 hard map:quantity, 2 scopes []string",
    "Service": _kind("Service"),
    "ServiceSpec": (
        "1 ports []ServicePort, 2 selector map:string, 3 clusterIP string, 4 type string, 5 externalIPs []string, "
        "7 sessionAffinity string, 8 loadBalancerIP string, 9 loadBalancerSourceRanges []string, "
        "10 externalName string, 11 externalTrafficPolicy string, 12 healthCheckNodePort int, "
        "13 publishNotReadyAddresses bool, 17 ipFamilyPolicy string, 18 clusterIPs []string, 19 ipFamilies []string, "
        "20 allocateLoadBalancerNodePorts bool?, 21 loadBalancerClass string, 22 internalTrafficPolicy string"
    ),
    "ServicePort": (
        "1 name string, 2 protocol string, 3 port int, 4 targetPort int-or-string, 5 nodePort int, 6 appProtocol string"
    ),
    "Pod": _kind("Pod"),
    "PodTemplateSpec": "1 metadata ObjectMeta, 2 spec PodSpec",
    "PodSpec": (
        "2 containers []Container, 3 restartPolicy string, 4 terminationGracePeriodSeconds int?, "
        "5 activeDeadlineSeconds int?, 6 dnsPolicy string, 7 nodeSelector map:string, 8 serviceAccountName string, "
        "9 serviceAccount string, 10 nodeName string, 11 hostNetwork bool, 12 hostPID bool, 13 hostIPC bool, "
        "15 imagePullSecrets []NamedReference, 16 hostname string, 17 subdomain string, 19 schedulerName string, "
        "20 initContainers []Container, 21 automountServiceAccountToken bool?, 24 priorityClassName string, "
        "25 priority int?, 27 shareProcessNamespace bool?, 29 runtimeClassName string, 30 enableServiceLinks bool?, "
        "31 preemptionPolicy string, 35 setHostnameAsFQDN bool?"
    ),
    "Container": (
        "1 name string, 2 image string, 3 command []string, 4 args []string, 5 workingDir string, "
        "6 ports []ContainerPort, 7 env []EnvVar, 8 resources ResourceRequirements, "
        "13 terminationMessagePath string, 14 imagePullPolicy string, 16 stdin bool, 17 stdinOnce bool, 18 tty bool, "
        "20 terminationMessagePolicy string"
    ),
    "ContainerPort": "1 name string, 2 hostPort int, 3 containerPort int, 4 protocol string, 5 hostIP string",
    "EnvVar": "1 name string, 2 value string",
    "ResourceRequirements": "1 limits map:quantity, 2 requests map:quantity",
    "Deployment": _kind("Deployment"),
    "DeploymentSpec": (
        "1 replicas int?, 2 selector LabelSelector, 3 template PodTemplateSpec, 4 strategy DeploymentStrategy, "
        "5 minReadySeconds int, 6 revisionHistoryLimit int?, 7 paused bool, 9 progressDeadlineSeconds int?"
    ),
    "DeploymentStrategy": "1 type string, 2 rollingUpdate RollingUpdate",
    "RollingUpdate": "1 maxUnavailable int-or-string, 2 maxSurge int-or-string",
    "Job": _kind("Job"),
    "JobSpec": (
        "1 parallelism int?, 2 completions int?, 3 activeDeadlineSeconds int?, 4 selector LabelSelector, "
        "5 manualSelector bool?, 6 template PodTemplateSpec, 7 backoffLimit int?, 8 ttlSecondsAfterFinished int?, "
        "9 completionMode string, 10 suspend bool?"
    ),
    "CronJob": _kind("CronJob"),
    "CronJobSpec": (
        "1 schedule string, 2 startingDeadlineSeconds int?, 3 concurrencyPolicy string, 4 suspend bool?, "
        "5 jobTemplate JobTemplateSpec, 6 successfulJobsHistoryLimit int?, 7 failedJobsHistoryLimit int?, "
        "8 timeZone string"
    ),
    "JobTemplateSpec": "1 metadata ObjectMeta, 2 spec JobSpec",
    "Role": "1 metadata ObjectMeta, 2 rules []PolicyRule",
    "ClusterRole": "1 metadata ObjectMeta, 2 rules []PolicyRule, 3 aggregationRule AggregationRule",
    "AggregationRule": "1 clusterRoleSelectors []LabelSelector",
    "PolicyRule": (
        "1 verbs []string, 2 apiGroups []string, 3 resources []string, 4 resourceNames []string, "
        "5 nonResourceURLs []string"
    ),
    "RoleBinding": "1 metadata ObjectMeta, 2 subjects []Subject, 3 roleRef RoleRef",
    "ClusterRoleBinding": "1 metadata ObjectMeta, 2 subjects []Subject, 3 roleRef RoleRef",
    "Subject": "1 kind string, 2 apiGroup string, 3 name string, 4 namespace string",
    "RoleRef": "1 apiGroup string, 2 kind string, 3 name string",
    "PodDisruptionBudget": _kind("PodDisruptionBudget"),
    "PodDisruptionBudgetSpec": (
        "1 minAvailable int-or-string, 2 selector LabelSelector, 3 maxUnavailable int-or-string, "
        "4 unhealthyPodEvictionPolicy string"
    ),
    "PriorityClass": (
        "1 metadata ObjectMeta, 2 value int, 3 globalDefault bool, 4 description string, 5 preemptionPolicy string"
    ),
    "Ingress": _kind("Ingress"),
    "IngressSpec": (
        "1 defaultBackend IngressBackend, 2 tls []IngressTLS, 3 rules []IngressRule, 4 ingressClassName string"
    ),
    "IngressTLS": "1 hosts []string, 2 secretName string",
    "IngressRule": "1 host string, 2 - IngressRuleValue",
    "IngressRuleValue": "1 http HTTPIngressRuleValue",
    "HTTPIngressRuleValue": "1 paths []HTTPIngressPath",
    "HTTPIngressPath": "1 path string, 2 backend IngressBackend, 3 pathType string",
    "IngressBackend": "4 service IngressServiceBackend",
    "IngressServiceBackend": "1 name string, 2 port ServiceBackendPort",
    "ServiceBackendPort": "1 name string, 2 number int",
    "HorizontalPodAutoscaler": _kind("HorizontalPodAutoscaler"),
    "HorizontalPodAutoscalerSpec": (
        "1 scaleTargetRef CrossVersionObjectReference, 2 minReplicas int?, 3 maxReplicas int, 4 metrics []MetricSpec"
    ),
    "CrossVersionObjectReference": "1 kind string, 2 name string, 3 apiVersion string",
    "MetricSpec": "1 type string, 4 resource ResourceMetricSource",
    "ResourceMetricSource": "1 name string, 2 target MetricTarget",
    "MetricTarget": "1 type string, 2 value quantity, 3 averageValue quantity, 4 averageUtilization int?",
    "Scale": _kind("Scale"),
    "ScaleSpec": "1 replicas int",
    "Eviction": "1 metadata ObjectMeta, 2 deleteOptions DeleteOptions",
    "TokenRequest": _kind("TokenRequest"),
    "TokenRequestSpec": "1 audiences []string, 3 boundObjectRef BoundObjectReference, 4 expirationSeconds int?",
    "BoundObjectReference": "1 kind string, 2 apiVersion string, 3 name string, 4 uid string",
    "TokenReview": _kind("TokenReview"),
    "TokenReviewSpec": "1 token string, 2 audiences []string",
    "SelfSubjectReview": "1 metadata ObjectMeta, 2 status Opaque",
    "SelfSubjectAccessReview": _kind("SelfSubjectAccessReview"),
    "SelfSubjectAccessReviewSpec": (
        "1 resourceAttributes ResourceAttributes, 2 nonResourceAttributes NonResourceAttributes"
    ),
    "SelfSubjectRulesReview": _kind("SelfSubjectRulesReview"),
    "SelfSubjectRulesReviewSpec": "1 namespace string",
    "SubjectAccessReview": _kind("SubjectAccessReview"),
    "LocalSubjectAccessReview": _kind("SubjectAccessReview"),
    "SubjectAccessReviewSpec": (
        "1 resourceAttributes ResourceAttributes, 2 nonResourceAttributes NonResourceAttributes, 3 user string, "
        "4 groups []string, 5 extra map:ExtraValue, 6 uid string"
    ),
    "ExtraValue": "1 items []string",
    "ResourceAttributes": (
        "1 namespace string, 2 verb string, 3 group string, 4 version string, 5 resource string, "
        "6 subresource string, 7 name string"
    ),
    "NonResourceAttributes": "1 path string, 2 verb string",
}
