package statedir

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// document is a file of the state directory that one process replaces and another process
// reads.
type document[T any] struct {
	// The `what` field describes the content of the file in errors.
	what, path string
	// limit is the largest size in bytes of a file that is read.
	limit int64
	parse func([]byte) (T, error)
}

// read returns the content of the file. If there is no file, it returns an error that wraps
// fs.ErrNotExist.
func (d *document[T]) read() (out T, err error) {
	content, err := d.content()
	if err == nil {
		out, err = d.parse(content)
	}
	return out, d.wrap(err)
}

func (d *document[T]) content() ([]byte, error) {
	file, err := os.Open(d.path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, d.limit+1))
	if err == nil && int64(len(content)) > d.limit {
		err = fmt.Errorf("the file is larger than %d bytes", d.limit)
	}
	return content, err
}

func (d *document[T]) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("reading %s: %w", d.what, err)
}

// changes returns a function that reads the file. If the content has changed since the last call,
// the function calls `handle` with the new content. If the file exists but cannot be read, the
// function calls `handle` with the error.
func (d *document[T]) changes(handle func(T, error)) func() {
	var last []byte
	return func() {
		content, err := d.content()
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			last = nil
			var none T
			handle(none, d.wrap(err))
		case !bytes.Equal(content, last):
			last = content
			parsed, err := d.parse(content)
			handle(parsed, d.wrap(err))
		}
	}
}
