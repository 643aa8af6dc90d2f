package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"strings"
)

// variable is one of those that configure the gateway.
type variable struct{ name, value string }

type variables []variable

// print writes them ready to be pasted, or as JSON with what more there is to say.
func (v variables) print(out io.Writer, asJSON bool, webhookID string, more map[string]any) error {
	if asJSON {
		set := map[string]string{}
		for _, one := range v {
			set[one.name] = one.value
		}
		object := map[string]any{"webhookId": webhookID, "variables": set}
		maps.Copy(object, more)
		return json.NewEncoder(out).Encode(object)
	}
	for _, one := range v {
		if _, err := fmt.Fprintf(out, "%s=%s\n", one.name, quoted(one.value)); err != nil {
			return err
		}
	}
	return nil
}

// quoted is a value as a shell reads it. What needs no quotes gets none, so that
// other readers of such files see the same.
func quoted(value string) string {
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("+/=:.,_@-", r)
	}
	if value != "" && !strings.ContainsFunc(value, func(r rune) bool { return !plain(r) }) {
		return value
	}
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}
