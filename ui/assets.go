package ui

import (
	"embed"
	"io/fs"
	"net/http"
)

// dist is the result of make ui. The sources are in the folder web.
//
//go:embed dist/index.html dist/app.js dist/style.css dist/icon.svg
var dist embed.FS

// types contains the media types of the assets. The types that package mime returns depend on the
// machine.
var types = map[string]string{
	"/":          "text/html; charset=utf-8",
	"/app.js":    "text/javascript; charset=utf-8",
	"/style.css": "text/css; charset=utf-8",
	"/icon.svg":  "image/svg+xml",
}

// assets returns a handler for the assets.
func assets() (http.Handler, error) {
	root, err := fs.Sub(dist, "dist")
	if err != nil {
		return nil, err
	}
	files := http.FileServerFS(root)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		media, ok := types[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", media)
		files.ServeHTTP(w, r)
	}), nil
}
