package present

import (
	"net/http"

	"left4me/shared/account"
	view "left4me/templates/account"
	"left4me/templates/admin"
	"left4me/templates/web"
)

// AccountPage fills the page about oneself.
type AccountPage struct {
	Accounts *account.Store
}

// View is the page for a visitor.
func (p AccountPage) View(w http.ResponseWriter, r *web.Request) (view.ShowView, error) {
	sessions, err := p.Accounts.Sessions(r.Context(), r.User.ID, r.SessionToken())
	if err != nil {
		return view.ShowView{}, err
	}
	show := view.ShowView{Frame: r.Frame(w), MinPassword: account.MinPassword, MaxPassword: account.MaxPassword}
	for _, s := range sessions {
		show.Sessions = append(show.Sessions, view.Session{
			ID: s.ID, Current: s.Current, Signed: s.CreatedAt, Expires: s.ExpiresAt, Address: s.From.Address, UserAgent: s.From.UserAgent,
		})
	}
	return show, nil
}

// PeoplePage fills the page of all people.
type PeoplePage struct {
	Accounts *account.Store
}

// View is the page for a visitor, with an empty form.
func (p PeoplePage) View(w http.ResponseWriter, r *web.Request) (admin.PeopleView, error) {
	people, err := p.Accounts.People(r.Context())
	if err != nil {
		return admin.PeopleView{}, err
	}
	administrators := 0
	for _, one := range people {
		if one.Admin && !one.Disabled {
			administrators++
		}
	}
	view := admin.PeopleView{Frame: r.Frame(w)}
	for _, one := range people {
		view.People = append(view.People, admin.Person{
			ID: one.ID, Name: one.Name, Administrator: one.Admin, Disabled: one.Disabled,
			Last: administrators == 1 && one.Admin && !one.Disabled, You: one.ID == r.User.ID,
			Created: one.CreatedAt, SignedIn: one.LastSignIn,
		})
	}
	return view, nil
}
