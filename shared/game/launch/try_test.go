package launch

import (
	"strings"
	"testing"
)

func TestAdviceGoesByTheKernelsSettings(t *testing.T) {
	for _, c := range []struct {
		uid           int
		setting, says string
	}{
		{1000, "user.max_user_namespaces=0", "sudo sysctl -w user.max_user_namespaces=10000"},
		{0, "user.max_user_namespaces=0", "sudo sysctl -w user.max_user_namespaces=10000"},
		{1000, "kernel.unprivileged_userns_clone=0", "sudo sysctl -w kernel.unprivileged_userns_clone=1"},
		{1000, "kernel.apparmor_restrict_unprivileged_userns=1", "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"},
		{1000, "user.max_user_namespaces=63000", "run left4me as root, or install left4me's package"},
		{0, "kernel.unprivileged_userns_clone=0", "allow this container to mount"},
	} {
		name, value, _ := strings.Cut(c.setting, "=")
		got := advice(c.uid, func(asked string) string {
			if asked == name {
				return value
			}
			return ""
		})
		if !strings.Contains(got, c.says) {
			t.Errorf("user %d with %s: %q does not say %q", c.uid, c.setting, got, c.says)
		}
	}
}
