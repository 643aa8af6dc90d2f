package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"awareid-gateway/internal/reconcile"
)

// printReport is the report for people. What others wrote is quoted where a
// terminal would obey it.
func printReport(out io.Writer, r reconcile.Report) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	printSums(t, r)
	if len(r.Missing.List) > 0 {
		printMissing(t, r.Missing)
	}
	if len(r.Unended.List) > 0 {
		printUnended(t, r.Unended)
	}
	if len(r.Unknown.List) > 0 {
		printUnknown(t, r.Unknown)
	}
	if len(r.Problems) > 0 {
		fmt.Fprint(t, "\nNOT COMPARED\n")
		for _, p := range r.Problems {
			fmt.Fprintln(t, p)
		}
	}
	return t.Flush()
}

func printSums(t io.Writer, r reconcile.Report) {
	period := "all that Kafka holds"
	if !r.Since.IsZero() {
		period = stamp(r.Since) + " to " + stamp(r.Began)
	}
	fmt.Fprintf(t, "Period\t%s\n", period)
	if r.Webhook != "" {
		fmt.Fprintf(t, "Webhook\t%s\n", r.Webhook)
	}
	fmt.Fprintf(t, "Joined by\t%s\n", r.JoinField)
	fmt.Fprintf(t, "Kafka\t%d records, %d completed enrollments, %d operations\n", r.Kafka.Records, r.Kafka.Completed, r.Kafka.Operations)
	fmt.Fprintf(t, "Platform\t%d completed enrollments, %d of them with an event, %d of before the period\n", r.Platform.Enrollments, r.Platform.Matched, r.Platform.Earlier)
	fmt.Fprintf(t, "Missing enrollments\t%d%s\n", r.Missing.Count, unless(r, reconcile.Enrollments))
	fmt.Fprintf(t, "Unended operations\t%d%s: %d ended by the platform's word, %d pending, %d not known\n", r.Unended.Count, unless(r, reconcile.Operations),
		r.Unended.Ended, r.Unended.Pending, r.Unended.Count-r.Unended.Ended-r.Unended.Pending)
	fmt.Fprintf(t, "Unknown events\t%d%s\n", r.Unknown.Count, unless(r, reconcile.Events))
}

// unless keeps a count that is not the whole truth from looking like it.
func unless(r reconcile.Report, compared reconcile.Subject) string {
	if slices.Contains(r.Compared, compared) {
		return ""
	}
	return " (not all was compared)"
}

func printMissing(t io.Writer, m reconcile.MissingEnrollments) {
	fmt.Fprint(t, "\nMISSING ENROLLMENT\tJOINED BY\tBEGAN\n")
	for _, e := range m.List {
		fmt.Fprintf(t, "%s\t%s\t%s\n", printable(e.RegistrationCode), printable(e.Value), stamp(e.Began))
	}
	printRest(t, m.Count-len(m.List))
}

func printUnended(t io.Writer, u reconcile.UnendedOperations) {
	fmt.Fprint(t, "\nUNENDED OPERATION\tTYPE\tTIME\tPLATFORM\n")
	for _, o := range u.List {
		status := string(o.Status)
		if status == "" {
			status = "-"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", printable(o.OperationToken), printable(o.Type), stamp(o.Time), printable(status))
	}
	printRest(t, u.Count-len(u.List))
}

func printUnknown(t io.Writer, u reconcile.UnknownEvents) {
	fmt.Fprint(t, "\nUNKNOWN EVENT\tJOINED BY\tTIME\tPOSITION\n")
	for _, e := range u.List {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", printable(e.ID), printable(e.Value), stamp(e.Time), e.Position)
	}
	printRest(t, u.Count-len(u.List))
}

func printRest(t io.Writer, n int) {
	if n > 0 {
		fmt.Fprintf(t, "and %d more\n", n)
	}
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format(time.RFC3339)
}
