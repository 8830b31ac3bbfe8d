package manifest

import (
	"encoding/json"
	"fmt"
)

// yamlToJSON converts a YAML document to JSON.
func yamlToJSON(text []byte) ([]byte, error) {
	v, err := parseYAML(text)
	if err != nil {
		return nil, err
	}
	if v, err = convert(v); err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

// convert converts a value of the YAML parser to one that package encoding/json
// can marshal.
func convert(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case []any:
		for i := range v {
			if v[i], err = convert(v[i]); err != nil {
				return nil, err
			}
		}
		return v, nil
	case map[any]any:
		return convertMap(v)
	default:
		return v, nil
	}
}

func convertMap(m map[any]any) (any, error) {
	out := make(map[string]any, len(m))
	for k, v := range m {
		name, err := keyName(k)
		if err != nil {
			return nil, err
		}
		if _, twice := out[name]; twice {
			return nil, fmt.Errorf("the key %q is given twice, with and without quotes; keep one", name)
		}
		if out[name], err = convert(v); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// keyName returns the name that a key has in JSON. In YAML, numbers and booleans
// can be keys as well.
func keyName(k any) (string, error) {
	switch k := k.(type) {
	case string:
		return k, nil
	case int, int64, uint64, float64, bool:
		return fmt.Sprint(k), nil
	default:
		return "", fmt.Errorf("the key %v is not a string", k)
	}
}
