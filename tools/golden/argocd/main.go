// Argo CD's notification engine with a ConfigMap of ours: for each Application given, every trigger is evaluated and
// what it sends is sent. Arguments: the ConfigMap (YAML), then Applications (JSON).
package main

import (
	"encoding/json"
	"log"
	"os"

	"github.com/argoproj/notifications-engine/pkg/api"
	"github.com/argoproj/notifications-engine/pkg/services"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	var configMap corev1.ConfigMap
	read(os.Args[1], func(text []byte) error { return yaml.Unmarshal(text, &configMap) })
	secret := corev1.Secret{Data: map[string][]byte{"tidegate-token": []byte("a-token")}}
	config, err := api.ParseConfig(&configMap, &secret)
	check(err)
	engine, err := api.NewAPI(*config, func(app map[string]interface{}, _ services.Destination) map[string]interface{} {
		return map[string]interface{}{"app": app}
	})
	check(err)
	for _, path := range os.Args[2:] {
		var app map[string]interface{}
		read(path, func(text []byte) error { return json.Unmarshal(text, &app) })
		for _, subscription := range config.Subscriptions {
			for _, trigger := range subscription.Triggers {
				results, err := engine.RunTrigger(trigger, app)
				check(err)
				for _, result := range results {
					if result.Triggered {
						to := services.Destination{Service: "tidegate"}
						check(engine.Send(app, result.Templates, to))
					}
				}
			}
		}
	}
}

func read(path string, into func([]byte) error) {
	text, err := os.ReadFile(path)
	check(err)
	check(into(text))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
