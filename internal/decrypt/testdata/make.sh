#!/bin/sh
# Makes the test data that README.md lists. Run it here; it needs openssl, xxd and java.
set -eu

openssl rand -base64 32 | tr -d '\n' > secret.txt
printf '%s' '{"id":"b6ea6be6-5e11-4946-9dc2-d41db57c5171","created":"2022-02-16T14:33:11.889-0500","type":"enrollment.started","operationToken":"9336b7b9-6a37-4aca-91b0-10b929e5c340","username":"string","data":{}}' > event.json

openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa-pkcs8.pem
openssl rsa -in rsa-pkcs8.pem -traditional -out rsa-pkcs1.pem
openssl rsa -in rsa-pkcs8.pem -pubout -outform DER -out rsa-public.der
openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out rsa-1024.pem
openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec.pem
openssl pkcs8 -topk8 -in rsa-pkcs8.pem -passout pass:test -out rsa-encrypted.pem

hex() { xxd -p -c 256; }
base64line() { openssl base64 -A; }
iv=$(openssl rand -hex 16)
iv64=$(printf %s "$iv" | xxd -r -p | base64line)

key=$(base64 -d < secret.txt | hex)
p=$(openssl enc -aes-256-cbc -K "$key" -iv "$iv" < event.json | base64line)
printf '{"iv":"%s","p":"%s"}' "$iv64" "$p" > envelope-cbc.json
{ printf %s "$iv" | xxd -r -p; openssl enc -aes-256-cbc -K "$key" -iv "$iv" < event.json; } | base64line > bare-cbc.txt

wrapped() { # name, AES bits, options of the padding
	name=$1 bits=$2
	shift 2
	key=$(openssl rand -hex $((bits / 8)))
	k=$(printf %s "$key" | xxd -r -p | openssl pkeyutl -encrypt -inkey rsa-pkcs8.pem -pkeyopt rsa_padding_mode:oaep "$@" | base64line)
	p=$(openssl enc "-aes-$bits-cbc" -K "$key" -iv "$iv" < event.json | base64line)
	printf '{"key":"%s","iv":"%s","p":"%s"}' "$k" "$iv64" "$p" > "envelope-oaep-$name.json"
}
wrapped sha256 256 -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256
wrapped sha1 128 -pkeyopt rsa_oaep_md:sha1 -pkeyopt rsa_mgf1_md:sha1
wrapped sha256-mgf1sha1 192 -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha1

java Seal.java rsa-public.der < event.json > envelope-java.json
java Seal.java secret.txt 12 < event.json > envelope-gcm.json
java Seal.java secret.txt 16 < event.json > envelope-gcm16.json
java Seal.java secret.txt 12 bare < event.json > bare-gcm.txt
