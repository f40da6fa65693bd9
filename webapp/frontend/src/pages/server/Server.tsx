export default function Server() {
  return <p>to come</p>;
}
