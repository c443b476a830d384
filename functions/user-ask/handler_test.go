package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"left4me/shared/route"
	"left4me/templates/fntest"
)

// The page asks, and its form does what was asked for.
func TestEachQuestion(t *testing.T) {
	s := fntest.New(t)
	anna, root := s.Person("anna", false), s.Person("root", true)
	v := s.Visitor(root, route.UserAsk, build)
	for action, says := range map[string]string{
		"promote": "Make anna an administrator?", "demote": "rights from anna?", "disable": "Disable anna?", "password": "Give anna a new password?",
	} {
		got := v.Get(fmt.Sprintf("/admin/users/%d?action=%s", anna.ID, action))
		form := got.Page().Find(fmt.Sprintf(`main form[method=post][action="/admin/users/%d"]`, anna.ID))
		if got.StatusCode != http.StatusOK || !strings.Contains(got.Text("h1"), says) || form.Find("button[name=action]").AttrOr("value", "") != action {
			t.Errorf("%s: %d %s", action, got.StatusCode, got.Text("main"))
		}
		if own := v.Get(fmt.Sprintf("/admin/users/%d?action=%s", root.ID, action)).Text("main"); !strings.Contains(own, "your own account") {
			t.Errorf("%s of one's own account: %s", action, own)
		}
	}
	for path, want := range map[string]int{"/admin/users/99?action=promote": 404, "/admin/users/x?action=promote": 404, "/admin/users/1?action=enable": 400, "/admin/users/1": 400} {
		if got := v.Get(path); got.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, got.StatusCode, want)
		}
	}
}
