package config

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	fileSuffix     = "_FILE"
	numberedPrefix = "WEBHOOKS_"
	// maxWebhooks bounds n in WEBHOOKS_n_.
	maxWebhooks = 1000
)

// Struct tags that name a field's variable.
const (
	tagSingle   = "env"      // on its own
	tagNumbered = "numbered" // behind WEBHOOKS_n_
)

// Variable describes one environment variable.
type Variable struct {
	Name        string // those of WEBHOOKS_n_ stand here once, as WEBHOOKS_0_
	Default     string // as it would be written; "" for none
	Description string // meaning and unit, one line
	Secret      bool   // never printed; also read from the file that NAME_FILE names
	Required    bool   // for WEBHOOKS_0_: required for each webhook configured so
}

// Variables returns every variable that Load knows, in the order in which the
// documentation lists them. The caller owns the slice.
func Variables() []Variable {
	return slices.Concat(
		fieldVariables[webhookVars](tagSingle, ""),
		fieldVariables[webhookVars](tagNumbered, numberedPrefix+"0_"),
		fieldVariables[Platform](tagSingle, ""),
		fieldVariables[Config](tagSingle, ""),
	)
}

// fieldVariables describes the fields of the struct T that tag names.
func fieldVariables[T any](tag, prefix string) []Variable {
	var vars []Variable
	for field := range reflect.TypeFor[T]().Fields() {
		name, option, _ := strings.Cut(field.Tag.Get(tag), ",")
		if name == "-" {
			continue
		}
		vars = append(vars, Variable{
			Name:        prefix + name,
			Default:     field.Tag.Get("envDefault"),
			Description: field.Tag.Get("desc"),
			Secret:      field.Type == reflect.TypeFor[Secret](),
			Required:    option == "required",
		})
	}
	return vars
}

// variableOf returns the variable of a field of Config or Platform.
func variableOf(field string) string {
	f, ours := reflect.TypeFor[Config]().FieldByName(field)
	if !ours {
		f, _ = reflect.TypeFor[Platform]().FieldByName(field)
	}
	name, _, _ := strings.Cut(f.Tag.Get(tagSingle), ",")
	return name
}

// catalog finds variables by name.
type catalog map[string]Variable

func newCatalog() catalog {
	known := catalog{}
	for _, v := range Variables() {
		known[v.Name] = v
	}
	return known
}

// find returns the variable that name sets itself, NAME_FILE aside.
func (c catalog) find(name string) (Variable, bool) {
	if _, field, ok := splitNumbered(name); ok {
		name = numberedPrefix + "0_" + field
	}
	v, ok := c[name]
	return v, ok
}

// knows reports whether name is a variable or a secret's NAME_FILE.
func (c catalog) knows(name string) bool {
	if _, ok := c.find(name); ok {
		return true
	}
	base, isFile := strings.CutSuffix(name, fileSuffix)
	v, ok := c.find(base)
	return isFile && ok && v.Secret
}

// prefixes returns the first word of each variable with its underscore.
func (c catalog) prefixes() map[string]bool {
	set := map[string]bool{}
	for name := range c {
		set[firstWord(name)] = true
	}
	return set
}

func firstWord(name string) string {
	word, _, ok := strings.Cut(name, "_")
	if !ok {
		return ""
	}
	return word + "_"
}

// splitNumbered takes WEBHOOKS_3_ID apart into 3 and ID.
func splitNumbered(name string) (n int, field string, ok bool) {
	rest, ours := strings.CutPrefix(name, numberedPrefix)
	digits, field, found := strings.Cut(rest, "_")
	n, err := strconv.Atoi(digits)
	canonical := err == nil && strconv.Itoa(n) == digits
	return n, field, ours && found && canonical && 0 <= n && n < maxWebhooks
}

// checkNames reports the unknown names that begin like ours. It returns
// warnings for those that are no mistake of anybody's, and for empty secrets,
// which are more often a reference that came to nothing than meant so.
func checkNames(vars map[string]string, bad problems) (warnings []string) {
	known := newCatalog()
	prefixes := known.prefixes()
	injected := kubernetesNames()
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		switch v, _ := known.find(name); {
		case known.knows(name):
			if v.Secret && vars[name] == "" {
				warnings = append(warnings, name+" is set but empty and counts as not set")
			}
		case !prefixes[firstWord(name)] || name == "HTTP_PROXY":
		case injected.MatchString(name):
			warnings = append(warnings, name+" is no variable of the gateway and ignored; it has the form that Kubernetes gives to a service's address")
		default:
			bad.add(name, "unknown; %s", known.suggest(name))
		}
	}
	return warnings
}

// kubernetesNames matches what Kubernetes injects for each service of a
// namespace ("Discovering services", environment variables), where a service
// called redis or kafka gets names that begin like ours.
func kubernetesNames() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Z0-9_]+_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)
}

// suggest says what to do about an unknown name: the known one nearest to it, as
// a question, where one is near.
func (c catalog) suggest(name string) string {
	const farthest = 3
	best, nearest := "", farthest+1
	for _, candidate := range slices.Sorted(maps.Keys(c)) {
		if n, _, ok := splitNumbered(name); ok {
			candidate = strings.Replace(candidate, numberedPrefix+"0_", fmt.Sprintf("%s%d_", numberedPrefix, n), 1)
		}
		if d := editDistance(name, candidate); d < nearest {
			best, nearest = candidate, d
		}
	}
	if best == "" {
		return "correct or remove it"
	}
	return "did you mean " + best + "?"
}

// editDistance is the Levenshtein distance of a and b in bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substituted := diagonal
			if a[i] != b[j] {
				substituted++
			}
			diagonal = row[j+1]
			row[j+1] = min(substituted, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
