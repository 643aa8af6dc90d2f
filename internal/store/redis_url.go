package store

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// The errors of go-redis and of net/url quote what they could not read, and in a
// URL with a stray character that can be a piece of the password. So this file
// says what is wrong in its own words, and quotes nothing.

// onConnect is told of every new connection, and may refuse it.
type onConnect func(ctx context.Context, conn *redis.Conn) error

// newClient returns a client for one of the URLs that OpenRedis describes. It signs
// in as login says at the time of each connection.
func newClient(raw string, login *login, hook onConnect) (redis.UniversalClient, error) {
	form, u, hosts, err := parse(raw)
	if err != nil {
		return nil, err
	}
	login.set(u.User)
	setTimeouts(u)

	switch form {
	case "":
		return newSingle(u, hosts, login, hook)
	case "sentinel":
		return newSentinel(u, hosts, login, hook)
	case "cluster":
		return newCluster(u, hosts, login, hook)
	default:
		return nil, badURL("want redis://, rediss://, redis+sentinel:// or redis+cluster://")
	}
}

// parse takes a URL apart. The form is what follows the plus.
func parse(raw string) (form string, u *url.URL, hosts []string, err error) {
	scheme, rest, _ := strings.Cut(raw, "://")
	tls, form, plus := strings.Cut(scheme, "+")
	if tls != "redis" && tls != "rediss" || plus == (form == "") {
		return "", nil, nil, badURL("want redis://, rediss://, redis+sentinel:// or redis+cluster://")
	}
	u, hosts, err = split(tls, rest)
	return form, u, hosts, err
}

func badURL(cause string) error { return fmt.Errorf("%w: %s", ErrURL, cause) }

// split takes the list of hosts out of a URL, for net/url knows one host only.
func split(scheme, rest string) (*url.URL, []string, error) {
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	at := strings.LastIndex(rest[:end], "@") + 1
	user, list, path := rest[:at], rest[at:end], rest[end:]

	hosts := strings.Split(list, ",")
	for _, host := range hosts {
		if host == "" {
			return nil, nil, badURL("a host is missing (is a special character in the password not percent-encoded?)")
		}
	}
	u, err := url.Parse(scheme + "://" + user + hosts[0] + path)
	if err == nil {
		_, err = url.ParseQuery(u.RawQuery) // what u.Query would drop in silence
	}
	if err != nil || u.Fragment != "" {
		return nil, nil, badURL("not a URL (is a special character in the password not percent-encoded?)")
	}
	return u, hosts, nil
}

// setTimeouts adds those that the URL does not name.
func setTimeouts(u *url.URL) {
	q := u.Query()
	for _, name := range []string{"dial_timeout", "read_timeout", "write_timeout"} {
		if !q.Has(name) {
			q.Set(name, "2s")
		}
	}
	u.RawQuery = q.Encode()
}

// addHosts names the hosts in the way of go-redis: the first in its place, the
// others as parameters.
func addHosts(u *url.URL, hosts []string, port string) {
	q := u.Query()
	for i, host := range hosts {
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(strings.Trim(host, "[]"), port)
		}
		if i == 0 {
			u.Host = host
		} else {
			q.Add("addr", host)
		}
	}
	u.RawQuery = q.Encode()
}

const badOption = "a host, the database or a parameter is not valid"

func newSingle(u *url.URL, hosts []string, login *login, hook onConnect) (redis.UniversalClient, error) {
	if len(hosts) > 1 {
		return nil, badURL("several hosts need redis+sentinel:// or redis+cluster://")
	}
	o, err := redis.ParseURL(u.String())
	if err != nil {
		return nil, badURL(badOption)
	}
	o.OnConnect, o.CredentialsProvider = hook, login.get
	o.ContextTimeoutEnabled = true
	o.DialerRetries = 1 // the command is retried, and dials again
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClient(o), nil
}

func newSentinel(u *url.URL, hosts []string, login *login, hook onConnect) (redis.UniversalClient, error) {
	addHosts(u, hosts, "26379")
	q := u.Query()
	sentinelUser, sentinelPassword := q.Get("sentinel_username"), q.Get("sentinel_password")
	q.Del("sentinel_username")
	q.Del("sentinel_password")
	u.RawQuery = q.Encode()

	o, err := redis.ParseFailoverURL(u.String())
	if err != nil {
		return nil, badURL(badOption)
	}
	if o.MasterName == "" {
		return nil, badURL("redis+sentinel:// needs ?master_name=")
	}
	if o.RouteByLatency || o.RouteRandomly || o.ReplicaOnly {
		return nil, badURL("claims cannot be made on replicas")
	}
	// go-redis reads the user of the URL as the Sentinels'.
	o.SentinelUsername, o.SentinelPassword = sentinelUser, sentinelPassword
	if o.TLSConfig != nil {
		o.TLSConfig.ServerName = "" // each host proves its own name
	}
	o.OnConnect, o.CredentialsProvider = hook, login.get
	o.ContextTimeoutEnabled = true
	o.DialerRetries = 1
	o.DisableIdentity = true
	return redis.NewFailoverClient(o), nil
}

func newCluster(u *url.URL, hosts []string, login *login, hook onConnect) (redis.UniversalClient, error) {
	addHosts(u, hosts, "6379")
	if strings.Trim(u.Path, "/0") != "" {
		return nil, badURL("a cluster has only database 0")
	}
	o, err := redis.ParseClusterURL(u.String())
	if err != nil {
		return nil, badURL(badOption)
	}
	if o.ReadOnly || o.RouteByLatency || o.RouteRandomly {
		return nil, badURL("claims cannot be made on replicas")
	}
	if o.TLSConfig != nil && len(hosts) > 1 {
		o.TLSConfig.ServerName = "" // each host proves its own name
	}
	o.OnConnect, o.CredentialsProvider = hook, login.get
	o.ContextTimeoutEnabled = true
	o.DialerRetries = 1
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClusterClient(o), nil
}
