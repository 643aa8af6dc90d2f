package simulator

import "strings"

// lives are the ways that operations go, in the order of their events. Together
// they hold every type of the reference.
var lives = [][]string{
	{"enrollment.started", "enrollment.device.added", "enrollment.face.check", "enrollment.completed"},
	{"enrollment.started", "enrollment.device.added", "enrollment.face.check", "enrollment.voice.check", "enrollment.completed"},
	{"enrollment.started", "enrollment.ocr.check", "enrollment.icao.check", "enrollment.face.check", "enrollment.completed"},
	{"enrollment.started", "enrollment.b2c.started", "enrollment.face.check", "enrollment.b2c.completed", "enrollment.completed"},
	{"enrollment.started", "enrollment.device.added", "enrollment.cancelled"},

	{"authentication.started", "authentication.face.check", "authentication.completed"},
	{"authentication.started", "authentication.face.check", "authentication.voice.check", "authentication.completed"},
	{"authentication.started", "authentication.b2c.started", "authentication.face.check", "authentication.b2c.completed", "authentication.completed"},
	{"authentication.started", "authentication.cancelled"},

	{"reenrollment.started", "reenrollment.face.check", "reenrollment.completed"},
	{"reenrollment.started", "reenrollment.face.check", "reenrollment.voice.check", "reenrollment.completed"},
	{"reenrollment.started", "reenrollment.b2c.started", "reenrollment.face.check", "reenrollment.b2c.completed", "reenrollment.completed"},
	{"reenrollment.started", "reenrollment.cancelled"},
}

// usernames hold what careless readers of JSON stumble over.
var usernames = []string{
	"ana.souza@example.com",
	"jürgen.müller@example.com",
	"o'brien+id@example.com",
	"李小龍",
	`back\slash "quoted"`,
	"😀.user@example.com",
}

// data returns what the event tells, after the answers of the calls that cause
// it. The reference shows "data" as an empty object, so the members are ours.
func (g *Generator) data(eventType string) map[string]any {
	family, step, _ := strings.Cut(eventType, ".")
	switch step {
	case "started":
		return map[string]any{"requiredChecks": []string{"deviceSecurity", "addFace"}}
	case "device.added":
		return g.deviceSecurity()
	case "face.check":
		return g.check(family, "faceLivenessResults")
	case "voice.check":
		return g.check(family, "voiceLivenessResults")
	case "ocr.check":
		return map[string]any{"documentType": "Passport", "ocrResult": true, "matchScore": g.score()}
	case "icao.check":
		return map[string]any{"passiveAuthentication": true, "activeAuthentication": g.rng.IntN(4) > 0}
	case "b2c.started", "b2c.completed":
		return map[string]any{"sessionToken": g.uuid()}
	case "cancelled":
		return map[string]any{"reason": "USER_CANCELLED"}
	}
	return map[string]any{status(family): 2, "registrationCode": g.uuid()}
}

func (g *Generator) check(family, results string) map[string]any {
	return map[string]any{
		"livenessResult": g.rng.IntN(20) > 0,
		"matchResult":    true,
		"matchScore":     g.score(),
		status(family):   1,
		results: map[string]any{
			"video": map[string]any{"autocapture_result": map[string]any{"feedback": []string{}, "score_frr": g.rng.Float64()}},
		},
	}
}

func status(family string) string {
	if family == "authentication" {
		return "authStatus"
	}
	return "enrollmentStatus"
}

// score goes up to 100, as in the reference's samples.
func (g *Generator) score() int { return 60 + g.rng.IntN(41) }

// deviceSecurity is a short form of the answer of checkDevice.
func (g *Generator) deviceSecurity() map[string]any {
	const provider = "Threatmetrix"
	return map[string]any{
		"deviceId": g.uuid(),
		"responseDetail": map[string]any{
			"transaction_id": g.uuid(),
			"acquiredAttributes": []map[string]any{
				{"provider": provider, "attributeType": "TrueIPGeoCountry", "values": map[string]any{"trueIPGeoCountry": "US"}},
				{"provider": provider, "attributeType": "OperatingSystem", "values": map[string]any{"operatingSystem": "iOS"}},
			},
			"userAssertionList": []map[string]any{{
				"provider": provider,
				"assertions": map[string]any{
					"detect.jailbreak":   "pass",
					"detect.malware":     "pass",
					"test.trustedDevice": pick(g.rng, []string{"pass", "fail"}),
				},
			}},
			"mbun":           g.uuid(),
			"policyDecision": "approve",
		},
	}
}
