package node

// ReducedPod is what the cache keeps of a pod.
var ReducedPod = reducedPod
