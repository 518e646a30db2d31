package client

import "unsafe"

// bytesOf is []byte(s) without the copy: the bytes must not be written to, and live as long
// as s. Strings are what keys are to callers, and bytes what the codec quotes and compares;
// the copy would be an allocation for each key of more than 32 bytes.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
