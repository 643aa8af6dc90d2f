package store

import (
	"errors"
	"net/url"
	"slices"
	"sync/atomic"
)

// ErrElsewhere says that a URL names more than another user or password.
var ErrElsewhere = errors.New("another Redis, or other parameters, need a restart")

// login is who signs in at Redis, which can be replaced.
type login struct{ current atomic.Pointer[url.Userinfo] }

// set takes nil for nobody.
func (l *login) set(user *url.Userinfo) { l.current.Store(user) }

// get is for every new connection.
func (l *login) get() (user, password string) {
	current := l.current.Load()
	password, _ = current.Password()
	return current.Username(), password
}

// SetURL has new connections sign in as the user and with the password of a URL
// that is otherwise the one that OpenRedis was given; connections that are open
// stay. It returns ErrURL or ErrElsewhere, which hold no part of the URL, and
// changes nothing then.
func (r *Redis) SetURL(raw string) error {
	next, err := placeOf(raw)
	if err != nil {
		return err
	}
	if !next.is(r.place) {
		return ErrElsewhere
	}
	r.login.set(next.user)
	return nil
}

// place is what a URL names.
type place struct {
	form  string
	rest  string // of the URL, less the user
	hosts []string
	user  *url.Userinfo
}

func placeOf(raw string) (place, error) {
	form, u, hosts, err := parse(raw)
	if err != nil {
		return place{}, err
	}
	p := place{form: form, hosts: hosts, user: u.User}
	u.User = nil
	p.rest = u.String()
	return p, nil
}

func (p place) is(other place) bool {
	return p.form == other.form && p.rest == other.rest && slices.Equal(p.hosts, other.hosts)
}
