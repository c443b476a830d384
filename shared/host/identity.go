package host

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/gofrs/flock"

	"left4me/shared/durable"
)

// identityFile is the file in LEFT4ME_ROOT that says which host this is.
const identityFile = "host.json"

// validID reports whether id is 1 to 64 small letters and digits: ids are parts of resources, addresses and statements.
func validID(id string) bool {
	return id != "" && len(id) <= 64 && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

type identity struct {
	ID string `json:"id"`
}

// ReadID returns the id of the host whose LEFT4ME_ROOT root is. The error is fs.ErrNotExist when no agent has run there yet.
func ReadID(root string) (string, error) {
	path := filepath.Join(root, identityFile)
	content, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	var i identity
	if err := json.Unmarshal(content, &i); err != nil || !validID(i.ID) {
		return "", fmt.Errorf("%s has no id of a host; remove it, and this becomes a new host", path)
	}
	return i.ID, nil
}

// EnsureID is ReadID, but gives a root without an id a random one.
func EnsureID(root string) (string, error) {
	id, err := ReadID(root)
	if !errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	path := filepath.Join(root, identityFile)
	lock := flock.New(path + ".lock") // several agents of one root may start at once
	if err := lock.Lock(); err != nil {
		return "", err
	}
	defer lock.Unlock()
	id = strings.ToLower(rand.Text()[:12])
	content, err := json.Marshal(identity{id})
	if err != nil {
		return "", err
	}
	if err := durable.WriteNew(path, string(content)+"\n"); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("write %s: %w", path, err)
	}
	return ReadID(root)
}

// Agent is what tells the agents of one disk from those of its copies.
type Agent struct {
	// Boot is the id of the machine's current boot; empty if it cannot be read.
	Boot string
	// Disk is the device and the inode of LEFT4ME_ROOT.
	Disk string
}

// bootID is the environment variable that replaces the kernel's file where that is hidden, as in a hardened systemd unit.
const bootID = "BOOT_ID"

// ThisAgent returns the Agent that uses root on this machine now.
func ThisAgent(root string) (Agent, error) {
	info, err := os.Stat(root)
	if err != nil {
		return Agent{}, err
	}
	a := Agent{Disk: root}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		a.Disk = fmt.Sprintf("%d:%d", sys.Dev, sys.Ino)
	}
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	// systemd writes the same id without dashes.
	a.Boot = strings.ReplaceAll(strings.TrimSpace(cmp.Or(string(boot), os.Getenv(bootID))), "-", "")
	return a, nil
}
