package v1alpha1

// Log configures a log.
type Log struct {
	// level is the lowest level that is logged: Error, Info or Debug. Default: Info.
	// +kubebuilder:default=Info
	// +optional
	Level LogLevel `json:"level,omitempty"`
	// format is JSON or Text. With JSON, each line is a JSON object. Text is for people.
	// Default: JSON.
	// +kubebuilder:default=JSON
	// +optional
	Format LogFormat `json:"format,omitempty"`
}

// LogLevel is a level of log entries.
//
// +kubebuilder:validation:Enum=Error;Info;Debug
type LogLevel string

// The levels of log entries. Each level includes the levels above it.
const (
	// LogError logs only failures.
	LogError LogLevel = "Error"
	// LogInfo also logs changes of state.
	LogInfo LogLevel = "Info"
	// LogDebug also logs details that help to find the cause of a problem.
	LogDebug LogLevel = "Debug"
)

// LogFormat is a format of log entries.
//
// +kubebuilder:validation:Enum=JSON;Text
type LogFormat string

// The formats of log entries.
const (
	// LogJSON writes each entry as a JSON object.
	LogJSON LogFormat = "JSON"
	// LogText writes each entry as text for people.
	LogText LogFormat = "Text"
)
