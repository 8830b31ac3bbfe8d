package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"path"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
)

// putsAtOnce is the number of pods that one request to etcd writes. etcd limits a request to
// 128 operations and 1.5 MiB.
const putsAtOnce = 64

// StorePods writes pods with their status directly into etcd. It uses the same format as the
// API server. Because no API server validates the pods or adds defaults, writing 100,000 pods
// takes one minute instead of eight.
func (s *Server) StorePods(ctx context.Context, pods iter.Seq[*corev1.Pod]) error {
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		return err
	}
	encoder := serializer.NewCodecFactory(scheme).EncoderForVersion(protobuf.NewSerializer(scheme, scheme), corev1.SchemeGroupVersion)
	var transaction etcdTransaction
	commit := func() error {
		if len(transaction.Success) == 0 {
			return nil
		}
		if err := s.commit(ctx, transaction); err != nil {
			return fmt.Errorf("storing pods: %w", err)
		}
		transaction.Success = transaction.Success[:0]
		return nil
	}
	for pod := range pods {
		value, err := runtime.Encode(encoder, pod)
		if err != nil {
			return fmt.Errorf("encoding pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
		key := path.Join("/registry/pods", pod.Namespace, pod.Name)
		transaction.Success = append(transaction.Success, etcdOperation{Put: etcdPut{Key: []byte(key), Value: value}})
		if len(transaction.Success) == putsAtOnce {
			if err := commit(); err != nil {
				return err
			}
		}
	}
	return commit()
}

// These types describe the JSON format of etcd's gRPC gateway. See
// https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway.
type (
	etcdTransaction struct {
		Success []etcdOperation `json:"success"`
	}
	etcdOperation struct {
		Put etcdPut `json:"requestPut"`
	}
	// encoding/json encodes byte slices in base64. The gateway requires this encoding.
	etcdPut struct {
		Key   []byte `json:"key"`
		Value []byte `json:"value"`
	}
)

func (s *Server) commit(ctx context.Context, transaction etcdTransaction) error {
	body, err := json.Marshal(transaction)
	if err != nil {
		return err
	}
	url := s.environment.ControlPlane.Etcd.URL.JoinPath("v3", "kv", "txn").String()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("etcd: %s: %s", response.Status, bytes.TrimSpace(answer))
	}
	return err
}
