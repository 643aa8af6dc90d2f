//go:build !linux

package main

import "errors"

func descriptorLimit() (uint64, bool) { return 0, false }

func volumeOf(string) (volume, error) { return volume{}, errors.ErrUnsupported }
