package sdnotify

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// Listen listens on the TCP address host:port. It uses the socket that systemd has kept for the address since the last run, or
// a new one, which it asks systemd to keep (FileDescriptorStoreMax=). It closes the sockets that were kept for other addresses.
func Listen(address string) (net.Listener, error) {
	name := strings.ReplaceAll(address, ":", "_") // systemd's names have no colons
	l, err := storedSocket(name)
	if l != nil || err != nil {
		return l, err
	}
	if l, err = net.Listen("tcp", address); err != nil {
		return nil, err
	}
	if err := storeSocket(l.(*net.TCPListener), name); err != nil {
		return nil, errors.Join(fmt.Errorf("have systemd keep the listening socket: %w", err), l.Close())
	}
	return l, nil
}

// storedSocket returns the socket with the name in systemd's store, or nil. It removes the others from the store.
func storedSocket(name string) (found net.Listener, err error) {
	for _, file := range activation.Files(true) {
		if file.Name() == name && found == nil {
			found, err = net.FileListener(file) // duplicates the descriptor
		} else if _, nerr := daemon.SdNotify(false, "FDSTOREREMOVE=1\nFDNAME="+file.Name()); nerr != nil {
			err = errors.Join(err, fmt.Errorf("have systemd forget a socket: %w", nerr))
		}
		err = errors.Join(err, file.Close())
	}
	if err != nil && found != nil {
		err = errors.Join(err, found.Close())
	}
	return found, err
}

// storeSocket sends l's descriptor to systemd.
func storeSocket(l *net.TCPListener, name string) error {
	address := os.Getenv("NOTIFY_SOCKET")
	if address == "" {
		return nil
	}
	// Package net cannot send descriptors over a connected datagram socket.
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	raw, err := l.SyscallConn()
	if err != nil {
		return errors.Join(err, unix.Close(socket))
	}
	var sent error
	err = raw.Control(func(fd uintptr) {
		sent = unix.Sendmsg(socket, []byte("FDSTORE=1\nFDNAME="+name), unix.UnixRights(int(fd)), &unix.SockaddrUnix{Name: address}, 0)
	})
	return errors.Join(err, sent, unix.Close(socket))
}
