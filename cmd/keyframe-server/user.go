package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"keyframe/netio/access"
)

// This file is keyframe-server user: it changes the file of --users.

const userUsage = `Usage: keyframe-server user add    --users FILE [--allow CLASSES] [--prefix PREFIX]… NAME
       keyframe-server user token  --users FILE [--expires TIME] NAME
       keyframe-server user list   --users FILE
       keyframe-server user remove --users FILE [--token ID] NAME

  add      add a user, with the password that is typed, or in --password-file, or with
           --no-password; --replace gives one other rights and another password
  token    give a user a token, and print it: it is kept nowhere
  list     list the users, their tokens and what they may do
  remove   remove a user, or one of his tokens

A running server reads the file again at SIGHUP.

%s`

// userFlags are those of the command.
type userFlags struct {
	set                          *pflag.FlagSet
	users, passwordFile, expires string
	token                        string
	allow, prefixes              []string
	noPassword, replace          bool
}

func newUserFlags() *userFlags {
	f := &userFlags{set: pflag.NewFlagSet("keyframe-server user", pflag.ContinueOnError)}
	fs := f.set
	fs.SortFlags = false
	fs.StringVar(&f.users, "users", "", "the `file` (KEYFRAME_USERS)")
	fs.StringSliceVar(&f.allow, "allow", nil, "add: what the user may do: some of read, write, scan and admin")
	fs.StringArrayVar(&f.prefixes, "prefix", nil, "add: only with keys that begin so, repeatable (all keys)")
	fs.StringVar(&f.passwordFile, "password-file", "", "add: the password is the first line of this `file`")
	fs.BoolVar(&f.noPassword, "no-password", false, "add: the user has none, or keeps the one that there is")
	fs.BoolVar(&f.replace, "replace", false, "add: the user may be there")
	fs.StringVar(&f.expires, "expires", "", "token: when its time is over: 720h from now, or 2027-01-31 (never)")
	fs.StringVar(&f.token, "token", "", "remove: the `id` of the token, as list prints it")
	fs.Usage = func() {}
	return f
}

// runUser is the command; it returns the exit status.
func runUser(args, environ []string, stdin io.Reader, stdout, stderr io.Writer) int {
	f := newUserFlags()
	what := ""
	if len(args) > 0 {
		what, args = args[0], args[1:]
	}
	usage := fmt.Sprintf(userUsage, f.set.FlagUsages())
	wrong := func(format string, a ...any) int {
		fmt.Fprintf(stderr, "keyframe-server: "+format+"\nTry keyframe-server user --help.\n", a...)
		return exitUsage
	}
	if what == "-h" || what == "--help" {
		fmt.Fprint(stdout, usage)
		return exitOK
	}
	err := f.set.Parse(args)
	names := 1
	if what == "list" {
		names = 0
	}
	for _, variable := range environ {
		if file, ok := strings.CutPrefix(variable, envPrefix+"USERS="); ok && f.users == "" {
			f.users = file
		}
	}
	switch {
	case errors.Is(err, pflag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return exitOK
	case err != nil:
		return wrong("%s", oneLine(err))
	case !slices.Contains([]string{"add", "token", "list", "remove"}, what):
		return wrong("user takes add, token, list or remove, not %q", what)
	case f.set.NArg() != names:
		return wrong("user %s takes %d names, not %d", what, names, f.set.NArg())
	case f.users == "":
		return wrong("--users is missing: which file?")
	}
	name := f.set.Arg(0)
	switch what {
	case "add":
		err = f.add(name, stdin, stderr)
	case "token":
		err = f.addToken(name, stdout, stderr)
	case "list":
		err = f.list(stdout)
	case "remove":
		err = access.Change(f.users, false, func(file *access.File) error {
			if f.token != "" {
				return file.RemoveToken(name, f.token)
			}
			return file.Remove(name)
		})
	}
	if err != nil {
		fmt.Fprintf(stderr, "keyframe-server: %s\n", oneLine(err))
		return exitFailure
	}
	return exitOK
}

func (f *userFlags) add(name string, stdin io.Reader, stderr io.Writer) error {
	rights, err := f.rights()
	if err != nil {
		return err
	}
	var password []byte
	switch {
	case f.noPassword:
	case f.passwordFile != "":
		password, err = readPasswordFile(f.passwordFile)
	default:
		password, err = askPassword(name, stdin, stderr)
	}
	if err != nil {
		return err
	}
	return access.Change(f.users, true, func(file *access.File) error {
		return file.Add(name, password, rights, f.replace)
	})
}

// rights are what --allow and --prefix say.
func (f *userFlags) rights() (r access.Rights, err error) {
	prefixes := f.prefixes
	if prefixes == nil {
		prefixes = []string{""}
	}
	for _, class := range f.allow {
		switch class {
		case "read":
			r.Read = prefixes
		case "write":
			r.Write = prefixes
		case "scan":
			r.Scan = prefixes
		case "admin":
			r.Admin = true
		default:
			return r, fmt.Errorf("--allow: want read, write, scan or admin, not %q", class)
		}
	}
	if len(f.allow) == 0 {
		return r, errors.New("--allow is missing: what may the user do? read, write, scan, admin")
	}
	return r, nil
}

// maxPasswordFile bounds what is read of a file in the wrong place.
const maxPasswordFile = 4096

// readPasswordFile returns the first line of a file that nobody else may read.
func readPasswordFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() // it is only read
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s has the mode %04o: others may read it, want 0600", path, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(file, maxPasswordFile))
	line, _, _ := bytes.Cut(text, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), err
}

// askPassword has the password typed, twice and unseen, or takes the first line of an input
// that is no terminal.
func askPassword(name string, stdin io.Reader, stderr io.Writer) ([]byte, error) {
	file, ok := stdin.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		line, err := bufio.NewReader(io.LimitReader(stdin, maxPasswordFile)).ReadString('\n')
		if err == io.EOF {
			err = nil
		}
		return []byte(strings.TrimRight(line, "\r\n")), err
	}
	var typed [2][]byte
	for i, prompt := range []string{"Password of %s: ", "Once more: "} {
		if i == 0 {
			prompt = fmt.Sprintf(prompt, name)
		}
		fmt.Fprint(stderr, prompt)
		var err error
		typed[i], err = term.ReadPassword(int(file.Fd()))
		fmt.Fprintln(stderr)
		if err != nil {
			return nil, err
		}
	}
	if !bytes.Equal(typed[0], typed[1]) {
		return nil, errors.New("that is not the same password")
	}
	return typed[0], nil
}

func (f *userFlags) addToken(name string, stdout, stderr io.Writer) error {
	expires, err := parseExpiry(f.expires, time.Now())
	if err != nil {
		return err
	}
	var id, text string
	if err := access.Change(f.users, false, func(file *access.File) (err error) {
		id, text, err = file.AddToken(name, expires)
		return err
	}); err != nil {
		return err
	}
	fmt.Fprintf(stderr, "The token %s of %s. It is shown this once:\n", id, name)
	fmt.Fprintln(stdout, text)
	return nil
}

// parseExpiry takes a duration from now, or a day where now is, at whose end it is.
func parseExpiry(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(d), nil
	}
	if day, err := time.ParseInLocation(time.DateOnly, text, now.Location()); err == nil && day.AddDate(0, 0, 1).After(now) {
		return day.AddDate(0, 0, 1), nil
	}
	return time.Time{}, fmt.Errorf("--expires %q: want a time to come, 720h or 2027-01-31", text)
}

func (f *userFlags) list(stdout io.Writer) error {
	entries, err := access.List(f.users)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	for _, e := range entries {
		var may []string
		for _, class := range []struct {
			name     string
			prefixes []string
		}{{"read", e.Rights.Read}, {"write", e.Rights.Write}, {"scan", e.Rights.Scan}} {
			if class.prefixes != nil {
				may = append(may, fmt.Sprintf("%s %q", class.name, class.prefixes))
			}
		}
		if e.Rights.Admin {
			may = append(may, "admin")
		}
		password := "no password"
		if e.HasPassword {
			password = "password"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", e.Name, password, strings.Join(may, ", "))
		for _, t := range e.Tokens {
			until := "for ever"
			if !t.Expires.IsZero() {
				until = "until " + t.Expires.Format(time.RFC3339)
			}
			fmt.Fprintf(w, "\ttoken %s\t%s\n", t.ID, until)
		}
	}
	return w.Flush()
}
