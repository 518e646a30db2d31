package netio

import (
	"fmt"
	"log/slog"
)

// gnetLogger gives gnet's messages to slog. Its informational ones are of no use
// to an operator and become debug messages.
type gnetLogger struct{ log *slog.Logger }

func (g gnetLogger) Debugf(format string, args ...any) { g.log.Debug(gnetMessage(format, args)) }
func (g gnetLogger) Infof(format string, args ...any)  { g.log.Debug(gnetMessage(format, args)) }
func (g gnetLogger) Warnf(format string, args ...any)  { g.log.Warn(gnetMessage(format, args)) }
func (g gnetLogger) Errorf(format string, args ...any) { g.log.Error(gnetMessage(format, args)) }
func (g gnetLogger) Fatalf(format string, args ...any) { g.log.Error(gnetMessage(format, args)) }

func gnetMessage(format string, args []any) string { return "gnet: " + fmt.Sprintf(format, args...) }
