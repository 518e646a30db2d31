package journal

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestMakeDir: the name of each directory that is made is on disk before anything is kept in it,
// and so is that of one that somebody else has made; only there it is no error if it can't be.
func TestMakeDir(t *testing.T) {
	top := t.TempDir()
	path := filepath.Join(top, "new", "dir")
	var synced []string
	fault := syscall.EACCES
	sync := func(path string) error {
		synced = append(synced, path)
		return fault
	}
	if err := makeDir(path, sync); !errors.Is(err, fault) {
		t.Errorf("a name that can't be synced: %v", err)
	}
	if err := os.Remove(filepath.Join(top, "new")); err != nil {
		t.Fatal(err)
	}
	for _, want := range [][]string{{top, filepath.Dir(path)}, {filepath.Dir(path)}} {
		synced, fault = nil, 0
		if err := makeDir(path+"/", func(path string) error { _ = sync(path); return nil }); err != nil || !slices.Equal(synced, want) {
			t.Errorf("%q are synced, want %q; %v", synced, want, err)
		}
	}
	fault = syscall.EACCES
	if err := makeDir(path, sync); err != nil {
		t.Errorf("a name that was there: %v", err)
	}
	file := filepath.Join(top, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Dir(file, false); err == nil || !strings.Contains(err.Error(), "no directory") {
		t.Errorf("a file: %v", err)
	}
	if _, err := Dir(filepath.Join(file, "dir"), false); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("in a file: %v", err)
	}
}

// TestDir runs on the system's files.
func TestDir(t *testing.T) {
	r := newRand(t)
	path := filepath.Join(t.TempDir(), "new", "dir")
	if _, err := Dir(path, true); err == nil {
		t.Error("a directory that isn't there can be read")
	}
	for run, mode := range []Mode{EverySec, Always, No, EverySec} {
		fs, err := Dir(path, false)
		if err != nil {
			t.Fatal(err)
		}
		opts := small(mode)
		opts.Manual = false
		o := open(t, fs, 8, opts)
		l := o.NewLane(func(uint64, error) {})
		work(r, o, l, 500)
		if _, err := Open(fs, opts); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
			t.Errorf("a second server: %v", err)
		}
		if _, err := o.Snapshot(run%2 == 0); err != nil {
			t.Fatal(err)
		}
		work(r, o, l, 50)
		if mode == EverySec {
			o.startSync()
		}
		want := o.store.content()
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		got, _, err := recovered(fs, 4, Options{})
		if err != nil || !maps.Equal(got, want) {
			t.Fatalf("run %d: %v: %d keys, want %d, or others", run, err, len(got), len(want))
		}
	}
	fs, _ := Dir(path, true)
	// Several may read; a server is told that it is they, and not the process that was the last to serve.
	first, err := fs.Lock(true)
	if err != nil {
		t.Fatal(err)
	}
	second, err := fs.Lock(true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fs.Lock(false); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "reads it") {
		t.Errorf("a server beside readers: %v", err)
	}
	_ = first.Close()
	_ = second.Close()
	server, err := fs.Lock(false)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if _, err := fs.Lock(true); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("a reader beside a server: %v", err)
	}
	names, _ := fs.List()
	snapshots := 0
	for _, name := range names {
		if strings.HasPrefix(name, snapshotPrefix) {
			snapshots++
		}
		if strings.HasSuffix(name, temporary) {
			t.Errorf("%s is left", name)
		}
	}
	if snapshots != 2 {
		t.Errorf("%d snapshots are kept, want 2: %v", snapshots, names)
	}
	if a, b := fs.BootID(), fs.BootID(); a != b {
		t.Error("two numbers of one start")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Dir(file, true); err == nil {
		t.Error("a file is a directory")
	}
}

// TestOpensNoDir: where there is no snapshot none is opened, whose name would be the directory's.
func TestOpensNoDir(t *testing.T) {
	fs := newMemFS()
	fs.fail(func(op, name string) error {
		if name == "" && op != "list" && op != "syncdir" {
			t.Errorf("%s of a file without a name", op)
		}
		return nil
	})
	open(t, fs, 2, small(EverySec))
}
