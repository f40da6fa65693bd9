export default function Account() {
  return <p>to come</p>;
}
