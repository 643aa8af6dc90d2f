package main

import (
	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/config"
	"awareid-gateway/internal/decrypt"
	"awareid-gateway/internal/secrets"
	"awareid-gateway/internal/store"
)

// watchedFiles are all files, other than of webhook secrets, that the gateway goes
// by while it runs.
func watchedFiles(a *app) []secrets.File {
	var files []secrets.File
	for variable, use := range a.uses() {
		if path, ok := a.cfg.Files[variable]; ok {
			files = append(files, a.secretFile(variable, path, use))
		}
	}
	if a.proofs.public != nil {
		files = append(files, publicFiles(a.cfg).watched(a.proofs.public))
	}
	if a.proofs.admin != nil {
		files = append(files, adminFiles(a.cfg).watched(a.proofs.admin))
	}
	return files
}

// secretFile checks a new value as the start would, and puts it in force.
func (a *app) secretFile(variable, path string, use func(config.Config) error) secrets.File {
	return secrets.File{Name: variable, Paths: []string{path}, Set: func(contents [][]byte) error {
		next, err := a.cfg.Replace(variable, config.FileValue(contents[0]))
		if err != nil {
			return err
		}
		return use(next)
	}}
}

// uses put one secret of a configuration in force where it is at work, by its
// variable. Of webhook secrets there is more to know: see secretsInForce.
func (a *app) uses() map[string]func(config.Config) error {
	uses := map[string]func(config.Config) error{
		"ADMIN_TOKEN":         func(c config.Config) error { return a.admin.SetToken(c.AdminToken.Reveal()) },
		"DECRYPT_PRIVATE_KEY": a.usePrivateKeys,
		"QUARANTINE_KEY":      func(c config.Config) error { return withKeys("QUARANTINE_KEY", c.QuarantineKey, a.sealer.SetKeys) },
		"KAFKA_SASL_PASSWORD": a.useKafkaPassword,
	}
	for n, w := range a.cfg.Webhooks {
		uses[w.Variable(n, "AUTH_HEADER_VALUE")] = func(c config.Config) error {
			return a.public.SetAuthHeaderValue(w.ID, c.Webhooks[n].AuthHeaderValue.Reveal())
		}
	}
	if a.privacy != nil {
		uses["PRIVACY_HASH_KEY"] = func(c config.Config) error { return withHashKey(c, a.privacy.SetKey) }
	}
	if a.spool != nil {
		uses["SPOOL_KEY"] = func(c config.Config) error { return withKeys("SPOOL_KEY", c.SpoolKey, a.spool.SetKeys) }
	}
	if redis, ok := a.store.(*store.Redis); ok {
		uses["REDIS_URL"] = func(c config.Config) error { return redis.SetURL(c.RedisURL.Reveal()) }
	}
	if a.filling != nil {
		uses["AWAREID_CLIENT_SECRET"] = a.useClientSecret
		uses["AWAREID_API_KEY"] = a.useAPIKey
	}
	return uses
}

// withKeys decodes keys for a function that retains none, and overwrites them.
func withKeys(variable string, value config.Secret, use func([][]byte) error) error {
	keys, err := keys32(variable, value)
	if err != nil {
		return err
	}
	defer func() {
		for _, key := range keys {
			clear(key)
		}
	}()
	return use(keys)
}

// usePrivateKeys puts them in force everywhere or nowhere: a refusal depends on the keys
// alone, so it comes from the first who is asked.
func (a *app) usePrivateKeys(c config.Config) error {
	text := []byte(c.DecryptPrivateKey.Reveal())
	defer clear(text)
	private, err := decrypt.ParsePrivateKeys(text)
	if err != nil {
		return err
	}
	if err := a.public.SetPrivateKeys(private); err != nil || a.filling == nil {
		return err
	}
	return a.filling.backfiller.SetPrivateKeys(private)
}

func (a *app) useKafkaPassword(c config.Config) error {
	mechanism, err := kafkaSASL(c)
	if err != nil {
		return err
	}
	return a.kafka.SetSASL(mechanism)
}

func (a *app) useClientSecret(c config.Config) error {
	return a.filling.platform.SetClientSecret(awareid.Secret(c.Platform.ClientSecret))
}

func (a *app) useAPIKey(c config.Config) error {
	return a.filling.platform.SetAPIKey(awareid.Secret(c.Platform.APIKey))
}
