package launch

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// The launcher is root, and who owns the server's directory is not.
func TestTheConsoleIsAFileOfTheServersOwner(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "servers", "1")
	path, elsewhere := filepath.Join(dir, ConsoleFile), filepath.Join(root, "elsewhere")
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = os.WriteFile(elsewhere, nil, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"EXIT_CODE": "killed", "EXIT_STATUS": "KILL", "SERVICE_RESULT": "oom-kill"}
	ended := func() error { return Ended(root, 1, func(name string) string { return env[name] }) }
	if err := ended(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without one: %v", err)
	}
	for name, makeIt := range map[string]func() error{
		"link": func() error { return os.Symlink(elsewhere, path) },
		"pipe": func() error { return unix.Mkfifo(path, 0o666) },
		"file of another user": func() error {
			if os.Getuid() != 0 {
				return os.Symlink(elsewhere, path)
			}
			return errors.Join(os.WriteFile(path, nil, 0o666), os.Chown(path, 12345, 12345))
		},
		"directory": func() error { return os.Mkdir(path, 0o755) },
	} {
		if err := makeIt(); err != nil {
			t.Fatal(err)
		}
		if err := ended(); err == nil {
			t.Errorf("it wrote to a %s", name)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, []byte("quit\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := ended(); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "quit\n"+EndMark+"killed KILL (oom-kill)\n" {
		t.Errorf("%q, %v", text, err)
	}
	if text, err := os.ReadFile(elsewhere); err != nil || len(text) > 0 {
		t.Errorf("elsewhere: %q, %v", text, err)
	}
}
