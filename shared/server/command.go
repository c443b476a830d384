package server

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"left4me/shared/account"
	"left4me/shared/blueprint"
	"left4me/shared/db"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/problem"
	"left4me/shared/text"
)

// Limits of commands. The game ignores longer ones.
const (
	// CommandLength is the longest command, in bytes.
	CommandLength = 500
	// SayLength is the longest text for Say, in characters.
	SayLength = 120
	// maxAnnouncement is the longest text of Announce, in bytes.
	maxAnnouncement = 240
)

// Command enqueues for u, who may be nobody, that the game of a server executes a command; the job's log is its answer. Errors are problems:
// 400 for what is no command, 409 when the server is off.
func (s *Store) Command(ctx context.Context, u account.User, of Server, command string) (*jobstore.Enqueued, error) {
	command = strings.TrimSpace(command)
	switch {
	case command == "":
		return nil, problem.Invalid("Please type a command, such as status.")
	case len(command) > CommandLength:
		return nil, problem.Invalid("A command has at most %d bytes; the game ignores longer ones.", CommandLength)
	case !printable(command):
		return nil, problem.Invalid("A command is one line, without characters that cannot be shown.")
	case of.IsOff():
		return nil, problem.Conflict("“%s” is %s. Please start it first: only a running game takes commands.", of.Name, of.State)
	}
	e, err := s.jobs.Enqueue(ctx, s.db, jobstore.Request{Operation: job.ServerCommand, Subject: job.Server(of.ID), Host: of.HostID, UserID: u.ID, Argument: command})
	if err != nil {
		return nil, fmt.Errorf("request a command of server %d: %w", of.ID, err)
	}
	return e, nil
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// Say returns the command that shows a text to the players. The error is a problem (400).
func Say(said string) (string, error) {
	said = strings.TrimSpace(said)
	switch {
	case said == "":
		return "", problem.Invalid("Please type what the players should read.")
	case utf8.RuneCountInString(said) > SayLength:
		return "", problem.Invalid("A text for the players has at most %d characters.", SayLength)
	case !printable(said):
		return "", problem.Invalid("A text for the players is one line, without characters that cannot be shown.")
	}
	return say(said), nil
}

// say returns the command that shows a printable text. Within quotation marks, nothing ends the command. The game has no way to write one there.
func say(said string) string { return `say "` + strings.ReplaceAll(said, `"`, `'`) + `"` }

// Announce is Say for a text that nobody has typed: what cannot be shown is replaced, and what is too long is cut.
func Announce(line string) string { return say(text.Line(line, maxAnnouncement)) }

// Kick returns the command that removes the player with that number (Player.Number). The error is a problem (400).
func Kick(number string) (string, error) {
	n, err := strconv.ParseUint(number, 10, 31)
	if err != nil || n == 0 {
		return "", problem.Invalid("Please choose a player from the list.")
	}
	return "kickid " + strconv.FormatUint(n, 10), nil
}

// ChangeMap returns the command that changes the map, and the mode unless mode is empty. The error is a problem (400).
func ChangeMap(name, mode string) (string, error) {
	if err := blueprint.CheckMap(name); err != nil {
		return "", err
	}
	if mode == "" {
		return "changelevel " + name, nil
	}
	return "map " + name + " " + mode, blueprint.CheckMode(mode)
}

// Commanded has the next check ask for what a command may have changed. It writes in the transaction that ends the command's job.
func (s *Store) Commanded(ctx context.Context, q db.Querier, serverID int64) error {
	if err := db.Later(ctx, q, `UPDATE server_status SET stale = 1 WHERE server_id = :server AND stale = 0`, sql.Named("server", serverID)); err != nil {
		return fmt.Errorf("record a command to server %d: %w", serverID, err)
	}
	return nil
}
