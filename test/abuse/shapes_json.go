package main

import (
	"archive/zip"
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"

	"awareid-gateway/internal/simulator"
)

// suiteArchive holds the folder test_parsing of github.com/nst/JSONTestSuite at
// commit 1ef36fa01286573e846ac449e8683f8833c5b26a, and its licence, MIT.
//
//go:embed testdata/JSONTestSuite.zip
var suiteArchive []byte

// suiteUndecided lists the documents that a parser may take or not, as the suite
// has it, and that the gateway takes as the data of an event.
//
//go:embed testdata/i_accepted.txt
var suiteUndecided string

// document is one of the suite: its name begins with y_ where a parser must take
// it, with n_ where it must not, and with i_ where it may.
type document struct {
	name string
	text []byte
}

func suiteDocuments() (all []document, err error) {
	archive, err := zip.NewReader(bytes.NewReader(suiteArchive), int64(len(suiteArchive)))
	if err != nil {
		return nil, fmt.Errorf("open the JSON suite: %w", err)
	}
	for _, file := range archive.File {
		if path.Ext(file.Name) != ".json" {
			continue
		}
		r, err := file.Open()
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", file.Name, err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file.Name, err)
		}
		all = append(all, document{path.Base(file.Name), text})
	}
	return all, nil
}

// asData is the answer to an event with the document as its data.
func (d document) asData() (status int) {
	if strings.HasPrefix(d.name, "y_") || slices.Contains(strings.Fields(suiteUndecided), d.name) {
		return http.StatusOK
	}
	return http.StatusAccepted
}

// jsonSuite posts each document in three ways. None of them is an event by itself.
func jsonSuite(ctx context.Context, t target, r *report) {
	documents, err := suiteDocuments()
	if err != nil {
		r.wrong("%v", err)
		return
	}
	plain := simulator.Scheme{Secret: t.Secret, Cipher: "none"}
	g := t.ring()
	defer g.close()
	again(ctx, t, func() {
		for _, d := range documents {
			id, event := newEvent(string(d.text))
			g.post(ctx, r, d.name+" as data", d.asData(), id, event, seal(t.scheme(), event))
			g.post(ctx, r, d.name+" in place of an event", http.StatusAccepted, "", nil, seal(t.scheme(), d.text))
			g.post(ctx, r, d.name+" in place of a body", http.StatusAccepted, "", nil, seal(plain, d.text))
		}
	})
	r.note("%d documents", len(documents))
}
