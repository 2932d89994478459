module atomfs-k8s

go 1.26.3

require github.com/cri-o/cri-o v1.36.1

require k8s.io/api v0.36.1

require k8s.io/apimachinery v0.36.1

require k8s.io/client-go v0.36.1

require k8s.io/component-base v0.36.1

require k8s.io/cri-api v0.36.1

require k8s.io/cri-client v0.36.1

require k8s.io/cri-streaming v0.36.1

require k8s.io/kubelet v0.36.1
