package ui_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"haf/ui"
)

func ExampleNew() {
	app := ui.New(ui.Config{Runs: []string{"testdata/none"}})
	page := httptest.NewRecorder()
	app.ServeHTTP(page, httptest.NewRequest(http.MethodGet, "http://localhost/", nil))
	fmt.Println(page.Code, strings.Contains(page.Body.String(), "No run was found"))
	// Output: 200 true
}
