package steamtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
)

// maxBatch is how many ids Steam's clients ask for at most.
const maxBatch = 100

// serveAPI answers either method; entry makes the answer's entry for one id, and listName is what the list is called.
func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request, kind, countName, listName string, entry func(*http.Request, string, Fault) (map[string]any, bool)) {
	ids, err := asked(w, r, countName)
	if err != nil {
		w.Header().Set("Content-Type", "text/html; charset=UTF-8")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, "<html><head><title>Bad Request</title></head><body><h1>Bad Request</h1>%s</body></html>", err)
		return
	}
	request := Request{Kind: kind, IDs: ids}
	fault, leave := s.begin(request)
	defer leave()
	if misbehave(w, r, fault) {
		return
	}
	var list []map[string]any
	count := 0
	for _, id := range ids {
		if slices.Contains(fault.Omit, id) {
			continue
		}
		e, ok := entry(r, id, fault.Fault)
		if ok {
			count++
		}
		list = append(list, e)
		if fault.Twice {
			list = append(list, e)
		}
	}
	if fault.Reverse {
		slices.Reverse(list)
	}
	if list == nil {
		list = []map[string]any{}
	}
	if kind == "details" {
		count = len(list)
	}
	answer, err := json.Marshal(map[string]any{"response": map[string]any{
		"result": 1, "resultcount": count, listName: list,
	}})
	if err != nil {
		// Maps of strings and numbers.
		panic(err)
	}
	if fault.JSON != "" {
		answer = []byte(fault.JSON)
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	s.newAnswering(r.Context(), w, request, fault, leave).Write(answer)
}

// asked reads the form of either method.
func asked(w http.ResponseWriter, r *http.Request, countName string) ([]string, error) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	if err := r.ParseForm(); err != nil {
		return nil, err
	}
	count, err := strconv.Atoi(r.PostForm.Get(countName))
	if err != nil || count < 1 || count > maxBatch {
		return nil, fmt.Errorf("%s must be a number from 1 to %d", countName, maxBatch)
	}
	ids := make([]string, count)
	for i := range ids {
		ids[i] = r.PostForm.Get(fmt.Sprintf("publishedfileids[%d]", i))
		if !isID(ids[i]) {
			return nil, fmt.Errorf("publishedfileids[%d] must be a number", i)
		}
	}
	return ids, nil
}

// num is a number as a fault wants it; Steam itself sends most as numbers, but some as strings.
func num(n int64, f Fault, asString bool) any {
	if f.Numbers != "" {
		asString = f.Numbers == "strings"
	}
	if asString {
		return strconv.FormatInt(n, 10)
	}
	return n
}

func gone(id string, result int, f Fault) map[string]any {
	return map[string]any{"publishedfileid": id, "result": num(int64(result), f, false)}
}

// details is one entry of GetPublishedFileDetails.
func (s *Server) details(r *http.Request, id string, f Fault) (map[string]any, bool) {
	found := s.item(id)
	if found == nil {
		if c, ok := s.Collection(id); ok {
			return s.common(id, c.Title, firstUpdate, 550, f), true
		}
		return gone(id, 9, f), false
	}
	if found.Result != 1 {
		return gone(id, found.Result, f), false
	}
	e := s.common(id, found.Title, found.Updated, found.App, f)
	e["preview_url"] = absolute(r, found.picturePath())
	e["filename"] = found.Filename
	e["file_url"] = absolute(r, found.filePath())
	e["file_size"] = num(found.Size, f, true)
	e["hcontent_file"] = id
	if found.Trap {
		e["filename"] = "preview.png"
		e["file_url"] = e["preview_url"]
		e["file_size"] = num(int64(len(found.picture())), f, true)
	}
	return e, true
}

// common is what items and collections have in common; a collection is an item without a file.
func (s *Server) common(id, title string, updated int64, app int, f Fault) map[string]any {
	e := map[string]any{
		"publishedfileid": id, "creator": "76561190000000000", "filename": "", "file_url": "", "preview_url": "",
		"title": title, "description": "<b>" + title + "</b>", "ban_reason": "", "file_size": num(0, f, true),
		"tags": []map[string]string{{"tag": "Maps"}},
	}
	for name, n := range map[string]int64{
		"result": 1, "creator_app_id": 563, "consumer_app_id": int64(app), "time_created": firstUpdate - 86400,
		"time_updated": updated, "visibility": 0, "banned": 0, "subscriptions": 40, "favorited": 13,
		"lifetime_subscriptions": 57, "lifetime_favorited": 13, "views": 189,
	} {
		e[name] = num(n, f, false)
	}
	return e
}

// collectionDetails is one entry of GetCollectionDetails; an ordinary item is answered like one that does not exist.
func (s *Server) collectionDetails(_ *http.Request, id string, f Fault) (map[string]any, bool) {
	c, ok := s.Collection(id)
	if !ok {
		return gone(id, 9, f), false
	}
	children := []map[string]any{}
	for i, child := range c.Children {
		fileType := 0
		if _, ok := s.Collection(child); ok {
			fileType = 2
		}
		children = append(children, map[string]any{
			"publishedfileid": child, "sortorder": num(int64(i), f, false), "filetype": num(int64(fileType), f, false),
		})
	}
	return map[string]any{"publishedfileid": id, "result": num(1, f, false), "children": children}, true
}
