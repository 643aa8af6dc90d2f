package main

import "context"

func (l *lab) curves(context.Context) error { return nil }
