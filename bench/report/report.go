package report

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// plotDir is where the plots are, below the raw files.
const plotDir = "plots"

// render makes everything from the raw files: the plots by name, and the document, before
// and after its blocks are replaced.
func render(document, dir string) (old, text []byte, images map[string][]byte, err error) {
	if old, err = os.ReadFile(document); err != nil {
		return nil, nil, nil, err
	}
	r, err := read(dir)
	if err != nil {
		return nil, nil, nil, err
	}
	if _, err := r.revision(); err != nil {
		return nil, nil, nil, err
	}
	text = old
	for name, block := range blocks {
		if text, err = replaceBlock(text, name, block(r)); err != nil {
			return nil, nil, nil, err
		}
	}
	images = map[string][]byte{}
	for name, draw := range plots {
		p := draw(r)
		if p == nil {
			continue
		}
		if images[name+".svg"], err = svg(p); err != nil {
			return nil, nil, nil, fmt.Errorf("plot %s: %w", name, err)
		}
	}
	return old, text, images, nil
}

// Write writes the blocks of the document and the plots.
func Write(document, dir string) error {
	_, text, images, err := render(document, dir)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(dir, plotDir)); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, plotDir), 0o755); err != nil {
		return err
	}
	for name, image := range images {
		if err := os.WriteFile(filepath.Join(dir, plotDir, name), image, 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(document, text, 0o644)
}

// Check reports every way in which document, plots and raw files disagree.
func Check(document, dir string) error {
	old, text, images, err := render(document, dir)
	if err != nil {
		return err
	}
	var faults []error
	if !bytes.Equal(text, old) {
		faults = append(faults, fmt.Errorf("%s is not what the raw files say, from line %d on: run make report", document, firstDifference(text, old)))
	}
	there, err := filepath.Glob(filepath.Join(dir, plotDir, "*"))
	if err != nil {
		return err
	}
	for _, path := range there {
		if _, ok := images[filepath.Base(path)]; !ok {
			faults = append(faults, fmt.Errorf("%s belongs to no raw file", path))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(images)) {
		image, err := os.ReadFile(filepath.Join(dir, plotDir, name))
		if err != nil || !bytes.Equal(image, images[name]) {
			faults = append(faults, fmt.Errorf("the plot %s is not what the raw files say: run make report", name))
		}
	}
	return errors.Join(faults...)
}

func firstDifference(a, b []byte) int {
	line := 1
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			break
		}
		if a[i] == '\n' {
			line++
		}
	}
	return line
}

// Comparison is the table of the section compare alone.
func Comparison(dir string) (string, error) {
	r, err := read(dir)
	if err != nil {
		return "", err
	}
	return blocks["compare"](r), nil
}
