package api

import (
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"
)

// Value returns v in types that encoding/json writes as they are. Structs become objects with their exported fields, those of embedded
// structs among them, and the results of their methods State and Title; the names are in snake_case, OwnerID is owner_id. Fields with the
// tag `api:"-"` are left out, numbers with the tag `api:"unix"` are times in Unix seconds. Times are in RFC 3339, in UTC; the zero time is
// null, and so is a zero struct that has an ID, which stands for none. A list is never null.
func Value(v any) any { return value(reflect.ValueOf(v)) }

func value(v reflect.Value) any {
	switch t := v.Type(); t.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return value(v.Elem())
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = value(v.Index(i))
		}
		return list
	case reflect.Map:
		object := map[string]any{}
		for key, of := range v.Seq2() {
			object[key.String()] = value(of)
		}
		return object
	case reflect.Struct:
		if at, ok := v.Interface().(time.Time); ok {
			return moment(at)
		}
		if isOptional(t) && v.IsZero() {
			return nil
		}
		object := map[string]any{}
		for _, f := range fields(t) {
			object[f.name] = f.value(v)
		}
		return object
	}
	return v.Interface()
}

func moment(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Truncate(time.Millisecond)
}

// isOptional is whether the zero value of a struct stands for none.
func isOptional(t reflect.Type) bool {
	_, identified := t.FieldByName("ID")
	return identified
}

// field is a property of the object that a struct becomes.
type field struct {
	name string
	of   reflect.StructField // the zero StructField for a method
	// method returns the property; nil for a field.
	method *method
}

func (f field) value(of reflect.Value) any {
	if f.method != nil {
		return f.method.call(of.Interface())
	}
	v := of.FieldByIndex(f.of.Index)
	if f.isUnix() {
		if v.Int() == 0 {
			return nil
		}
		return moment(time.Unix(v.Int(), 0))
	}
	return value(v)
}

func (f field) isUnix() bool { return f.of.Tag.Get("api") == "unix" }

// method is a method whose result is a property of the types that have it.
type method struct {
	name string
	has  reflect.Type
	call func(any) string
}

// methods are called through interfaces: reflect's MethodByName would make the linker keep the methods of all types.
var methods = []method{
	{"State", reflect.TypeFor[interface{ State() string }](), func(v any) string { return v.(interface{ State() string }).State() }},
	{"Title", reflect.TypeFor[interface{ Title() string }](), func(v any) string { return v.(interface{ Title() string }).Title() }},
}

// fields returns the properties of a struct.
func fields(t reflect.Type) []field {
	var all []field
	for _, f := range reflect.VisibleFields(t) {
		if f.IsExported() && !f.Anonymous && f.Tag.Get("api") != "-" {
			all = append(all, field{name: snake(f.Name), of: f})
		}
	}
	for _, m := range methods {
		if t.Implements(m.has) {
			all = append(all, field{name: snake(m.name), method: &m})
		}
	}
	return all
}

// snake returns a Go name in snake_case.
func snake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		starts := i > 0 && unicode.IsUpper(r) && (!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1]))
		if starts {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// Schemas are the JSON Schemas of types, by the names that references to them have.
type Schemas struct {
	// Described returns the description of a struct, for the empty field, or of one of its fields; empty for none.
	Described func(t reflect.Type, field string) string
	// All are the schemas of the structs that Of has met, by name.
	All map[string]any

	types map[string]reflect.Type
}

// object is a JSON object.
type object = map[string]any

// Of returns the schema of the JSON that Value makes of values of type t. Structs are references to All. It panics for a type that has no
// JSON, or if two structs have the same name: the description is made and tested before left4me is released.
func (s *Schemas) Of(t reflect.Type) map[string]any {
	switch t.Kind() {
	case reflect.Pointer:
		return orNull(s.Of(t.Elem()))
	case reflect.Slice:
		return object{"type": "array", "items": s.Of(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.Of(t.Elem())}
	case reflect.Struct:
		if t == reflect.TypeFor[time.Time]() {
			return momentSchema()
		}
		s.add(t)
		reference := object{"$ref": "#/components/schemas/" + schemaName(t)}
		if isOptional(t) {
			return orNull(reference)
		}
		return reference
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return object{"type": "integer"}
	case reflect.Float64:
		return object{"type": "number"}
	}
	panic(fmt.Sprintf("%s has no JSON: tag its fields with `api:\"-\"`", t))
}

func momentSchema() object { return object{"type": []string{"string", "null"}, "format": "date-time"} }

func orNull(schema object) object { return object{"anyOf": []any{schema, object{"type": "null"}}} }

// add puts the schema of a struct into All.
func (s *Schemas) add(t reflect.Type) {
	name := schemaName(t)
	if other, known := s.types[name]; known {
		if other != t {
			panic(fmt.Sprintf("two types have the name %s: rename one, it is in the API", name))
		}
		return
	}
	if s.types == nil {
		s.types, s.All = map[string]reflect.Type{}, object{}
	}
	s.types[name] = t
	properties, names := object{}, []string{}
	for _, f := range fields(t) {
		var schema object
		switch {
		case f.method != nil:
			schema = object{"type": "string"}
		case f.isUnix():
			schema = momentSchema()
		default:
			schema = s.Of(f.of.Type)
		}
		if text := s.described(t, f); text != "" {
			schema["description"] = text
		}
		properties[f.name] = schema
		names = append(names, f.name)
	}
	schema := object{"type": "object", "properties": properties, "required": names, "additionalProperties": false}
	if text := s.Described(t, ""); text != "" {
		schema["description"] = text
	}
	s.All[name] = schema
}

// described returns the description of a property of t.
func (s *Schemas) described(t reflect.Type, f field) string {
	if f.method != nil {
		return s.Described(t, f.method.name)
	}
	for _, i := range f.of.Index[:len(f.of.Index)-1] { // the struct that declares the field may be embedded
		if t = t.Field(i).Type; t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
	}
	return s.Described(t, f.of.Name)
}

// schemaName is the name of a struct's schema, such as overlay.Overlay, or list.Page.overlay.Listed for a generic type.
func schemaName(t reflect.Type) string {
	name, argument, _ := strings.Cut(strings.TrimSuffix(t.String(), "]"), "[")
	if argument != "" {
		name += "." + argument[strings.LastIndex(argument, "/")+1:]
	}
	return name
}
