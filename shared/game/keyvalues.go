package game

import (
	"left4me/shared/text"
	"strings"
)

// token is a quoted word or a brace of a text that Valve's programs have written. Words in quotes may contain escaped quotes.
var token = text.Pattern(`"((?:[^"\\]|\\.)*)"|[{}]`)

// keyValues returns the values of a text in Valve's KeyValues format by their path, in small letters: `appstate/buildid`.
func keyValues(content string) map[string]string {
	values := map[string]string{}
	var path []string
	var key *string // the word before, if it has no value yet
	for _, m := range token().FindAllStringSubmatch(content, -1) {
		word := m[1]
		switch {
		case m[0] == "{":
			if key == nil {
				key = new(string)
			}
			path, key = append(path, strings.ToLower(*key)), nil
		case m[0] == "}":
			path, key = path[:max(0, len(path)-1)], nil
		case key == nil:
			key = &word
		default:
			values[strings.Join(append(path[:len(path):len(path)], strings.ToLower(*key)), "/")], key = word, nil
		}
	}
	return values
}
