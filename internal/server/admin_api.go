package server

import (
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2/middleware/adaptor"
)

// routeAPI lets each handler answer for its path and all below it. Who may call
// has been decided by then.
func (a *Admin) routeAPI(handlers map[string]http.Handler) {
	for path, handler := range handlers {
		serve := adaptor.HTTPHandler(handler)
		a.main.app.All(path, a.checkOrigin, serve)
		a.main.app.All(strings.TrimSuffix(path, "/")+"/*", a.checkOrigin, serve)
	}
}
