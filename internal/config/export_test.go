package config

// ParseSecrets lets the fuzz target reach the reader of a secrets list alone.
var ParseSecrets = parseSecrets
