// Events as controllers of Flux post them, by their own recorder. Argument: the URL. The form is the one that the
// generic provider of the notification controller forwards: both marshal the same type.
package main

import (
	"log"
	"os"

	"github.com/fluxcd/pkg/runtime/events"
	"github.com/go-logr/logr/funcr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/record"
)

func main() {
	recorder, err := events.NewRecorderForScheme(
		runtime.NewScheme(), record.NewFakeRecorder(16), funcr.New(func(_, text string) { log.Print(text) }, funcr.Options{}), os.Args[1], "kustomize-controller")
	if err != nil {
		log.Fatal(err)
	}
	object := &unstructured.Unstructured{}
	object.SetAPIVersion("kustomize.toolkit.fluxcd.io/v1")
	object.SetKind("Kustomization")
	object.SetName("checkout")
	object.SetNamespace("flux-system")
	object.SetUID("7d0cdc51-4f0a-4b0e-9f4e-0c1b5f4c2a11")
	object.SetResourceVersion("4242")
	revision := map[string]string{
		"kustomize.toolkit.fluxcd.io/revision": "main@sha1:731f7eaddfb6af01cb2173e18f0f75b0ba780ef1",
	}
	recorder.AnnotatedEventf(object, revision, "Normal", "ReconciliationSucceeded",
		"Reconciliation finished in %s, next run in %s", "1.2s", "10m0s")
	recorder.AnnotatedEventf(object, revision, "Warning", "ReconciliationFailed", "Deployment/shop/checkout dry-run failed")
	recorder.AnnotatedEventf(object, revision, "Normal", "Progressing", "Health check passed in %s", "30ms")
}
