package verify

// With returns a Verifier for other secrets of the same webhook, which goes on
// with what v has learnt and with its bounds on extra work: whoever sends
// forgeries gains nothing by a change of secrets. v stays as it is. An error
// says which secret cannot be used, and holds none.
func (v *Verifier) With(secrets []Secret) (*Verifier, error) {
	ready, err := newSecrets(v.form, secrets)
	if err != nil {
		return nil, err
	}
	next := v.copy(ready)
	for _, s := range ready {
		if old := v.secret(s.value); old != nil {
			s.known.Store(old.known.Load().of(s))
		}
	}
	next.last.Store(next.carry(v.last.Load(), v))
	return next, nil
}

// copy is v for these secrets, without what it has learnt last.
func (v *Verifier) copy(secrets []*secret) *Verifier {
	return &Verifier{
		secrets: secrets, form: v.form, header: v.header, auth: v.auth, now: v.now, onLearn: v.onLearn,
		discovery: v.discovery, relearn: v.relearn, attempts: v.attempts,
	}
}

// carry is what matched last in old, told of the same secret here; of the first,
// where that secret is gone: how the platform signs outlives a secret.
func (v *Verifier) carry(last *knowledge, old *Verifier) *knowledge {
	if last == nil {
		return nil
	}
	if s := v.secret(old.secrets[last.match.Secret].value); s != nil {
		return last.of(s)
	}
	return last.of(v.secrets[0])
}

// secret finds a secret by its value, which is this process' own: no sender has a
// say in the comparison.
func (v *Verifier) secret(value string) *secret {
	for _, s := range v.secrets {
		if s.value == value {
			return s
		}
	}
	return nil
}

// of is the same knowledge, of another secret; nil for none.
func (k *knowledge) of(s *secret) *knowledge {
	if k == nil {
		return nil
	}
	moved := *k
	moved.match.Secret = s.index
	return &moved
}
